from __future__ import annotations

import os

import pytest

from featx.cli._target import check_target, replacing
from featx.exceptions import ParameterError, StoreError


def test_a_file_appears_when_it_is_whole(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert (file.read_text(), temporary.suffix) == ("old", ".csv")
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, StoreError])
def test_work_that_fails_leaves_the_old_file_and_no_other(tmp_path, error):
    file = tmp_path / "a.csv"
    file.write_text("old")

    def work():
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        work()
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_disk_that_is_full_is_named(tmp_path):
    def work():
        with replacing(tmp_path / "a.csv"), open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(ParameterError, match=r"a\.csv cannot be written: No space left"):
        work()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "file.csv")
    with replacing(tmp_path / "link.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "file.csv").read_text() == "new"


@pytest.mark.parametrize("target", ["nowhere/a.csv", "/dev/null", "/proc/a.csv", "."])
def test_what_cannot_be_written_is_refused_before_the_work(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=r"Make it first|is no file|cannot be written"), replacing(target):
        pytest.fail("the work has begun")


def test_a_file_gets_the_rights_of_any_other(tmp_path):
    (tmp_path / "other").touch()
    with replacing(tmp_path / "a.csv"):
        pass
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_new_file_in_a_folder_is_accepted(tmp_path):
    check_target(tmp_path / "new.csv")
    assert not os.listdir(tmp_path)
