from __future__ import annotations

from pathlib import Path

import pytest

from featx.doctor._container import memory_limit, processor_limit


@pytest.fixture
def groups(tmp_path):
    """Writes the files of a control group."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return write


@pytest.mark.parametrize(("text", "limit"), [("150000 100000", 1.5), ("max 100000", None)])
def test_processors_of_a_group(groups, text, limit):
    assert processor_limit(groups(cpu_dot_max=text)) == limit


@pytest.mark.parametrize(("quota", "limit"), [("50000", 0.5), ("-1", None)])
def test_processors_of_a_group_of_the_first_version(groups, quota, limit):
    root = groups(cpu__cpu_dot_cfs_quota_us=quota, cpu__cpu_dot_cfs_period_us="100000")
    assert processor_limit(root) == limit


@pytest.mark.parametrize(("text", "limit"), [("2147483648", 2**31), ("max", None)])
def test_memory_of_a_group(groups, text, limit):
    assert memory_limit(groups(memory_dot_max=text)) == limit


@pytest.mark.parametrize(("text", "limit"), [("1073741824", 2**30), ("9223372036854771712", None)])
def test_memory_of_a_group_of_the_first_version(groups, text, limit):
    assert memory_limit(groups(memory__memory_dot_limit_in_bytes=text)) == limit


def test_without_groups_there_is_no_limit(tmp_path):
    assert (processor_limit(tmp_path / "none"), memory_limit(tmp_path / "none")) == (None, None)
