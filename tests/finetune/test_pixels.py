"""Pixels are those that an encoder gets."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest

from featx.encoders import resolve
from featx.exceptions import ImageErrors, ImageWarning, TrainingError
from featx.extraction import Options
from featx.finetune._pixels import read_pixels
from featx.images import PixelPath, as_column
from tests.networks import TINY, tiny_encoder

(SPEC,) = resolve(tiny_encoder())


def test_pixels_are_those_that_an_encoder_gets(files):
    pixels, usable = read_pixels(as_column(files), SPEC, Options(n_threads=2))
    assert usable.all()
    for path, image in zip(files, pixels, strict=True):
        assert np.array_equal(image, PixelPath(TINY)(path)[1])


def test_a_bad_image_is_listed():
    with pytest.raises(ImageErrors, match=r"row 1.*no such file"):
        read_pixels(as_column([np.zeros((4, 4), np.uint8), "missing.jpg"]), SPEC, Options())


def test_a_bad_image_may_be_left_out():
    column = as_column([np.zeros((4, 4), np.uint8), "missing.jpg", None])
    with pytest.warns(ImageWarning, match="2 of 3"):
        _, usable = read_pixels(column, SPEC, Options(on_error="nan", on_missing="nan"))
    assert usable.tolist() == [True, False, False]


def test_a_full_temporary_folder_is_said_before_anything_is_written(full_disk):
    column = as_column([np.zeros((4, 4), np.uint8)] * 50)
    with full_disk(100_000), pytest.raises(TrainingError, match=r"153,600 bytes.*TMPDIR") as caught:
        read_pixels(column, SPEC, Options())
    assert tempfile.gettempdir() in str(caught.value)


def test_the_file_has_its_room_from_the_start(monkeypatch):
    """A sparse file has none: a write beyond the disk's end kills the process."""
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system cannot keep room for a file")
    sizes = []
    real = np.memmap

    def noted(file, *given, **kept):
        sizes.append(os.fstat(file.fileno()).st_blocks * 512)
        return real(file, *given, **kept)

    monkeypatch.setattr(np, "memmap", noted)
    pixels, _ = read_pixels(as_column([np.zeros((4, 4), np.uint8)] * 50), SPEC, Options())
    assert sizes[0] >= pixels.nbytes
