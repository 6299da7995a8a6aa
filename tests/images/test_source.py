from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.images import DecodeError, DigestMemo, digest_many, load
from featx.images import _source as module


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def memo(tmp_path) -> DigestMemo:
    return DigestMemo(tmp_path / "memo.sqlite")


@pytest.fixture
def settled(monkeypatch):
    """Files count as old at once."""
    monkeypatch.setattr("featx.images._memo._RACY_NS", -(10**12))
    monkeypatch.setattr("featx.images._source._FEW", 0)


def digests(sources, memo, pool) -> list[bytes]:
    keys, reasons = digest_many(sources, memo=memo, pool=pool)
    assert not reasons
    return [key.tobytes() for key in keys]


def test_a_path_and_its_bytes_have_one_digest(files, memo, pool):
    data = Path(files[0]).read_bytes()
    expected = hashlib.sha256(b"featx:file:1\0" + data).digest()[:16]  # pinned: every stored key depends on it
    assert digests([files[0], Path(files[0]), data], memo, pool) == [expected] * 3
    assert load(files[0])[0] == expected


def test_pixels_have_one_digest_whatever_holds_them(crops, memo, pool):
    grey = crops[0][:, :, 0]
    rgb = np.stack([grey] * 3, axis=2)
    opaque = np.dstack([rgb, np.full_like(grey, 255)])
    sources = [grey, grey[:, :, None], rgb, opaque, *map(Image.fromarray, (grey, rgb, opaque))]
    assert len(set(digests(sources, memo, pool))) == 1
    expected = hashlib.sha256(b"featx:pixels:1\0" + b"120x160\0" + rgb.tobytes()).digest()[:16]
    assert digests([rgb], memo, pool) == [expected]


def test_pixels_of_other_shape_or_palette_have_another_digest(memo, pool):
    flat, tall = np.zeros((2, 8), np.uint8), np.zeros((8, 2), np.uint8)
    red, blue = Image.new("P", (2, 8)), Image.new("P", (2, 8))
    red.putpalette([255, 0, 0])
    blue.putpalette([0, 0, 255])
    assert len(set(digests([flat, tall, red, blue], memo, pool))) == 4


def test_a_file_and_its_pixels_are_kept_apart(files, memo, pool):
    with Image.open(files[0]) as image:
        assert len(set(digests([files[0], image], memo, pool))) == 2


def test_a_file_that_has_not_changed_is_not_read_again(files, memo, pool, settled, monkeypatch):
    first = digests(files, memo, pool)
    monkeypatch.setattr(module, "read_file", None)
    assert digests(files, memo, pool) == first


def test_a_file_that_has_changed_is_read_again(files, memo, pool, settled):
    first = digests(files, memo, pool)
    Path(files[3]).write_bytes(Path(files[4]).read_bytes())
    assert digests(files, memo, pool) == [*first[:3], first[4], *first[4:]]


def test_fresh_files_are_hashed_every_time(files, memo, pool):
    first = digests(files[:1], memo, pool)
    Path(files[0]).write_bytes(Path(files[1]).read_bytes())
    assert digests(files[:1], memo, pool) != first


def test_relative_paths_are_resolved_against_the_present_folder(files, memo, pool, settled, monkeypatch, tmp_path):
    monkeypatch.chdir(Path(files[0]).parent)
    assert digests(["00.jpg"], memo, pool) == digests([files[0]], memo, pool)
    other = tmp_path / "other"
    other.mkdir()
    (other / "00.jpg").write_bytes(Path(files[5]).read_bytes())
    monkeypatch.chdir(other)
    assert digests(["00.jpg"], memo, pool) == digests([files[5]], memo, pool)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: "nowhere.jpg", "no such file"),
        (lambda folder: str(folder), "is a folder"),
        (lambda folder: "nowhere/\udcff.jpg", "no such file"),
        (lambda folder: "https://example.org/a.jpg", "URLs are not read"),
        (lambda folder: "https://example.org/a.jpg?signature=" + "a" * 300, "URLs are not read"),
        (lambda folder: Path("s3://bucket/a.jpg"), "a URL with one slash"),
        (lambda folder: "iVBORw0KGgo" * 1000, "cannot be read: File name too long; if it is base64"),
        (lambda folder: "a\0b.jpg", "cannot be read"),
        (lambda folder: b"", "empty"),
        (lambda folder: 3, "a int; expected a path"),
        (lambda folder: np.zeros((3, 3)), "float64"),
        (lambda folder: Image.new("F", (2, 2)), "mode F"),
    ],
)
def test_what_cannot_be_used_has_a_reason_and_the_others_a_digest(make, reason, files, memo, pool, tmp_path):
    keys, reasons = digest_many([files[0], make(tmp_path), files[1]], memo=memo, pool=pool)
    assert list(reasons) == [1]
    assert reason in reasons[1]
    assert keys[[0, 2]].any(axis=1).all()
    with pytest.raises(DecodeError, match=reason):
        load(make(tmp_path))


def test_an_empty_file_and_a_pipe_are_named(memo, pool, tmp_path):
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    _, reasons = digest_many([str(tmp_path / "empty.jpg"), str(tmp_path / "pipe.jpg")], memo=memo, pool=pool)
    assert "empty" in reasons[0]
    assert "not a regular file" in reasons[1]


def test_a_file_that_may_not_be_read_is_named(files, memo, pool, monkeypatch):
    def refuse(path, *_arguments):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)  # root, who runs many a test, may read everything
    assert "permission" in digest_many(files[:1], memo=memo, pool=pool)[1][0]


def test_no_sources_have_no_keys(memo, pool):
    keys, reasons = digest_many([], memo=memo, pool=pool)
    assert keys.shape == (0, 16)
    assert reasons == {}


def test_the_digest_is_of_the_content_that_was_decoded(files):
    data = Path(files[0]).read_bytes()
    digest, image = load(files[0])
    assert digest == load(data)[0]
    np.testing.assert_array_equal(image, Image.open(io.BytesIO(data)))


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]), st.integers(0, 2**32 - 1))
def test_an_array_and_the_pil_image_of_its_pixels_are_one(height, width, channels, seed):
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    (digest, image), (same, other) = load(array), load(Image.fromarray(array.squeeze(2) if channels == 1 else array))
    assert digest == same
    assert image.size == other.size == (width, height)
    if channels == 3:
        np.testing.assert_array_equal(image, array)


def test_a_file_whose_name_is_no_text_is_read_and_costs_the_others_nothing(files, memo, pool, settled, monkeypatch):
    strange = os.path.join(os.path.dirname(files[0]), os.fsdecode(b"\xff.jpg"))
    try:
        Path(strange).write_bytes(Path(files[0]).read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    first = digests([*files, strange], memo, pool)
    assert first[-1] == first[0]
    read = []
    monkeypatch.setattr(module, "read_file", lambda path: read.append(path) or Path(path).read_bytes())
    assert digests([*files, strange], memo, pool) == first
    assert read == [strange]


def test_relative_paths_have_a_reason_where_the_present_folder_is_gone(memo, pool, monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert digest_many(["a.jpg"], memo=memo, pool=pool)[1] == {0: "no such file"}


def test_a_memo_that_is_lost_or_damaged_changes_no_digest(files, memo, pool, settled):
    first = digests(files, memo, pool)
    memo.file.write_bytes(b"damaged" * 1000)
    assert digests(files, memo, pool) == first
    memo.file.unlink(missing_ok=True)
    assert digests(files, memo, pool) == first


def test_a_file_named_as_an_image_that_is_text_has_a_digest_and_no_pixels(memo, pool, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    assert len(digests([tmp_path / "text.jpg"], memo, pool)) == 1
    with pytest.raises(DecodeError, match="not an image: the file begins with b'no image'"):
        load(tmp_path / "text.jpg")


def test_pixels_are_pinned():
    # Every key of PIL images and arrays in every store depends on this value.
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert load(pixels)[0].hex() == "f2502f02a71cd0564b248d28786d3d79"


def test_a_few_small_files_are_hashed_again_rather_than_remembered(files, memo, pool, settled, monkeypatch):
    monkeypatch.setattr("featx.images._source._FEW", 12)
    digests(files, memo, pool)
    assert not memo.file.exists()
    monkeypatch.setattr("featx.images._source._SMALL", 1000)
    digests(files, memo, pool)
    assert len(memo.lookup(files)) == len(files)
