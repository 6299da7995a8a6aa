from __future__ import annotations

import json
import os

import pytest

from featx._manifest import Kind, digest_manifest, read_manifest, write_manifest
from featx.exceptions import BundleError

KIND = Kind("bundle", "bundle.json", 2, "featx.export_bundle", BundleError)


@pytest.fixture
def folder(tmp_path):
    """A folder of two files, with its manifest."""
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.txt").write_text("b")
    write_manifest(tmp_path, KIND, {"task": "classifier"}, "1.2.3")
    return tmp_path


def rewrite(folder, **changes) -> None:
    """Change a manifest as somebody would who knows its rule."""
    manifest = {**json.loads((folder / "bundle.json").read_text()), **changes}
    (folder / "bundle.json").write_text(json.dumps({**manifest, "sha256": digest_manifest(manifest)}))


def test_what_is_written_is_read(folder):
    manifest = read_manifest(folder, KIND)
    assert (manifest["format"], manifest["featx"], manifest["task"]) == (2, "1.2.3", "classifier")
    assert list(manifest["files"]) == ["a.txt", "more/b.txt"]


def test_an_older_manifest_is_no_file_of_the_new_one(folder):
    assert write_manifest(folder, KIND, {}, "1.2.3")["files"].keys() == {"a.txt", "more/b.txt"}


def test_layout_and_line_ends_of_the_text_do_not_matter(folder):
    text = json.dumps(json.loads((folder / "bundle.json").read_text()), indent=4)
    (folder / "bundle.json").write_bytes(text.replace("\n", "\r\n").encode())
    assert read_manifest(folder, KIND)["task"] == "classifier"


@pytest.mark.parametrize(
    ("format", "advice"), [(1, "write it again with featx.export_bundle"), (3, "upgrade featx"), ("x", "upgrade featx")]
)
def test_another_format_is_refused_by_name(folder, format, advice):
    rewrite(folder, format=format)
    with pytest.raises(
        BundleError, match=f"has format {format!r}, written by featx 1.2.3. Expected format 2: {advice}"
    ):
        read_manifest(folder, KIND)


def test_a_changed_file_is_named(folder):
    (folder / "more" / "b.txt").write_text("c")
    with pytest.raises(BundleError, match=r"b\.txt is damaged"):
        read_manifest(folder, KIND)


def test_a_missing_file_is_named(folder):
    (folder / "a.txt").unlink()
    with pytest.raises(BundleError, match=r"a\.txt is missing"):
        read_manifest(folder, KIND)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_a_files_place_is_not_waited_for(folder):
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")
    with pytest.raises(BundleError, match=r"a\.txt is missing, or no file"):
        read_manifest(folder, KIND)


def test_any_change_of_what_it_says_is_noticed(folder):
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace("classifier", "regressor"))
    with pytest.raises(BundleError, match="does not match its own digest"):
        read_manifest(folder, KIND)


@pytest.mark.parametrize("name", ["../a.txt", "more/../../a.txt", "/etc/hostname", "C:\\a.txt", "more\\..\\..\\a.txt"])
def test_a_file_outside_of_the_folder_is_not_looked_at(folder, name):
    rewrite(folder, files={name: ""})
    with pytest.raises(BundleError, match="lies outside"):
        read_manifest(folder, KIND)


@pytest.mark.parametrize("text", ["", "{", "[]", "\N{NULL}", '{"a": 1'])
def test_nonsense_is_damage(folder, text):
    (folder / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="is damaged"):
        read_manifest(folder, KIND)


def test_one_that_lists_no_files_is_damaged(folder):
    rewrite(folder, files=None)
    with pytest.raises(BundleError, match="lists no files"):
        read_manifest(folder, KIND)


def test_a_folder_of_another_kind_is_told_from_none(tmp_path):
    with pytest.raises(BundleError, match=r"is not a bundle: it has no bundle\.json"):
        read_manifest(tmp_path, KIND)
    with pytest.raises(BundleError, match="is not there"):
        read_manifest(tmp_path / "none", KIND)
