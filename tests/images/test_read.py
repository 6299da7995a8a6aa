from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.images import DecodeError, is_path, read_file, to_pixels


def test_all_forms_of_one_image_give_the_same_pixels(crops, tmp_path):
    file = tmp_path / "crop.png"
    Image.fromarray(crops[0]).save(file)
    for source in (file, str(file), file.read_bytes(), crops[0], Image.fromarray(crops[0])):
        np.testing.assert_array_equal(np.asarray(to_pixels(source)), crops[0])


def test_a_jpeg_may_be_decoded_at_a_fraction_of_its_size(photos):
    file = io.BytesIO()
    Image.fromarray(photos[0]).save(file, "JPEG")
    assert to_pixels(file.getvalue(), at_least=100).size == (160, 107)


def test_only_strings_and_paths_are_paths():
    assert is_path("a.jpg")
    assert is_path(Path("a.jpg"))
    assert not is_path(b"a.jpg")


def test_a_file_is_read_as_it_is(files):
    assert read_file(files[0]) == Path(files[0]).read_bytes()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "nowhere.jpg", "no such file"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: "https://example.org/a.jpg", "URLs are not read"),
        (lambda folder: 3, "a int; expected a path"),
        (lambda folder: b"no image", "not an image"),
    ],
)
def test_what_cannot_be_read_has_a_reason(make, reason, tmp_path):
    with pytest.raises(DecodeError, match=reason):
        to_pixels(make(tmp_path))


def test_too_many_pixels_are_refused_whatever_holds_them(crops, tmp_path):
    Image.fromarray(crops[0]).save(tmp_path / "crop.png")
    for source in (tmp_path / "crop.png", crops[0], Image.fromarray(crops[0])):
        with pytest.raises(DecodeError, match="max_pixels=100"):
            to_pixels(source, max_pixels=100)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DecodeError, match="not a regular file"):
        read_file(tmp_path / "pipe.jpg")
