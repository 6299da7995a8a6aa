"""model.json tells what is in a folder, and no byte of the folder changes unseen."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from featx.exceptions import FeatxError, ModelError
from featx.persistence._record import RECORD, _render, read_record, write_record


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "weights").mkdir()
    (tmp_path / "model.skops").write_bytes(b"model")
    (tmp_path / "weights" / "a.pth").write_bytes(bytes(range(256)))
    write_record(tmp_path, encoders=[{"name": "Ä"}])
    return tmp_path


def rewrite(folder: Path, **changes) -> None:
    """What another version, or somebody who computes digests, could have written."""
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(_render({**record, **changes}))


def test_it_gives_back_what_was_told_of_every_file_and_version(folder):
    record = read_record(folder)
    assert list(record["files"]) == ["model.skops", "weights/a.pth"]
    assert record["encoders"] == [{"name": "Ä"}]
    assert record["versions"]["skops"] == importlib.metadata.version("skops")
    assert (record["format"], set(record["versions"]) >= {"python", "numpy", "scikit-learn"}) == (1, True)


def test_every_flipped_byte_of_it_is_refused(folder):
    data = (folder / RECORD).read_bytes()
    for i in range(len(data)):
        (folder / RECORD).write_bytes(data[:i] + bytes([data[i] ^ (1 + 37 * i % 255)]) + data[i + 1 :])
        with pytest.raises(FeatxError):
            read_record(folder)


@pytest.mark.parametrize("content", ["", "[", "[]", "3", "{}", '{"format": 1}', "[" * 100_000], ids=range(7))
def test_json_of_another_kind_is_damage(folder, content):
    (folder / RECORD).write_text(content)
    with pytest.raises(ModelError, match="damaged"):
        read_record(folder)


def test_a_missing_a_longer_and_a_changed_file_are_named(folder):
    weights = folder / "weights" / "a.pth"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"a\.pth is damaged: it has SHA-256"):
        read_record(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"a\.pth is missing"):
        read_record(folder)


def test_a_later_format_says_who_wrote_it_and_what_to_do(folder):
    rewrite(folder, format=2, featx="9.1")
    with pytest.raises(ModelError, match=r"format 2, written by featx 9\.1.*--upgrade featx"):
        read_record(folder)


def test_a_folder_without_it_is_no_model(tmp_path):
    for nowhere in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=r"Expected a folder that featx\.save wrote"):
            read_record(nowhere)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "weights/../../outside"])
def test_no_file_outside_of_the_folder_may_be_named(folder, name):
    rewrite(folder, files={name: "ab" * 32})
    with pytest.raises(ModelError, match="outside of its folder"):
        read_record(folder)
