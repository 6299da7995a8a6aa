"""A bundle's folder is read whole and sound, or refused by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.deploy._bundle import CARD, FORMAT, digest_card, digest_file, read_bundle
from featx.exceptions import BundleError

FILES = {"model.onnx": b"graph", "predictor/__init__.py": b"code", "README.md": b"# words"}


def write_card(folder: Path, card: object) -> None:
    """A card with its right digest, whatever it says."""
    if isinstance(card, dict):
        card = {**card, "digest": digest_card(card)}
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n")


def make(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = {name: digest_file(folder / name) for name in FILES}
    write_card(folder, {"format": FORMAT, "featx": "1.0", "classes": ["caf\u00e9", "b"], "files": files})
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return make(tmp_path / "bundle")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("bundles") / "bundle")


def test_a_sound_bundle_is_read_and_is_a_path(folder):
    bundle = read_bundle(str(folder))
    assert bundle.card["classes"] == ["café", "b"]
    assert Path(bundle) == folder


def test_a_folder_may_be_relative_or_begin_at_home(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert read_bundle("bundle").folder == read_bundle("~/bundle").folder == folder


@given(st.data(), st.sampled_from([CARD, CARD, *FILES]), st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_refused_or_changes_nothing(shared, data, name, flip):
    sound = read_bundle(shared).card
    file = shared / name
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    file.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
    try:
        card = read_bundle(shared).card
    except BundleError:
        pass
    else:  # such as a space that became a tab
        assert name == CARD
        assert card == sound
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("name", [CARD, *FILES])
def test_a_file_that_is_missing_cut_short_or_a_folder_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-3])
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(folder)
    (folder / name).mkdir()
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(folder)


def test_no_folder_a_file_and_another_folder_are_told_apart(tmp_path):
    with pytest.raises(BundleError, match="nowhere is not there"):
        read_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("{}")
    with pytest.raises(BundleError, match="file is not there"):
        read_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match=r"is no bundle: it has no bundle\.json"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"not json", b"[]", b"3", b"null", b'"text"', b"[" * 100_000],
    ids=lambda text: repr(text[:10]),
)
def test_what_is_no_object_of_json_is_damaged(folder, text):
    (folder / CARD).write_bytes(text)
    with pytest.raises(BundleError, match=r"bundle\.json is damaged"):
        read_bundle(folder)


@pytest.mark.parametrize("known", [None, 0, 2, "1", [1]])
def test_another_format_says_what_wrote_it(folder, known):
    write_card(folder, {"format": known, "featx": "9.9"})
    with pytest.raises(BundleError, match=r"written by featx 9\.9.*upgrade featx"):
        read_bundle(folder)


@pytest.mark.parametrize("files", [None, [], "model.onnx", 3])
def test_a_card_that_lists_no_files_is_damaged(folder, files):
    write_card(folder, {"format": FORMAT, "files": files})
    with pytest.raises(BundleError, match="lists no files"):
        read_bundle(folder)
    write_card(folder, {"format": FORMAT})
    with pytest.raises(BundleError, match="lists no files"):
        read_bundle(folder)


@pytest.mark.parametrize("digest", [None, 3, "", [], "0" * 64])
def test_a_file_whose_digest_is_any_other_thing_is_damaged(folder, digest):
    write_card(folder, {"format": FORMAT, "files": {"model.onnx": digest}})
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "predictor/../../secret", "..", "/dev/zero"])
def test_a_file_outside_is_not_even_opened(folder, name):
    (folder.parent / "secret").write_bytes(b"secret")
    write_card(folder, {"format": FORMAT, "files": {name: digest_file(folder.parent / "secret")}})
    with pytest.raises(BundleError, match="which lies outside"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["", ".", "predictor", "model.onnx/more", "nul\0", "lone\ud800", "long" * 1000])
def test_a_name_that_is_no_file_is_refused(folder, name):
    write_card(folder, {"format": FORMAT, "files": {name: "0"}})
    with pytest.raises(BundleError, match="Copy the bundle again"):
        read_bundle(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(folder):
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx is not there, or no file"):
        read_bundle(folder)


def test_links_are_followed_and_what_they_lead_to_is_checked(folder):
    elsewhere = folder.parent / "model.onnx"
    shutil.move(folder / "model.onnx", elsewhere)
    (folder / "model.onnx").symlink_to(elsewhere)
    assert read_bundle(folder).card["files"]
    elsewhere.write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        read_bundle(folder)
    elsewhere.unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is not there"):
        read_bundle(folder)


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_card({"a": 1, "b": 2}) == digest_card({"b": 2, "digest": "old", "a": 1})
    assert digest_card({"a": 1}) != digest_card({"a": 2})
