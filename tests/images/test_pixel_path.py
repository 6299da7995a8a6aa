"""Exact pixels are Pillow's; fast ones are near, and come of fewer coefficients."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from featx.images import DecodeError, PixelPath, Preprocess, load

SMALL = Preprocess(size=64, resize=72)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def large(photos) -> Image.Image:
    return Image.fromarray(photos[0]).resize((1600, 1200))


def test_the_exact_way_is_load_then_preprocess(large):
    data = encoded(large)
    digest, pixels = PixelPath(SMALL)(data)
    expected_digest, image = load(data)
    assert digest == expected_digest
    np.testing.assert_array_equal(pixels, SMALL(image))


def test_fast_pixels_are_near_the_exact_ones_and_have_the_same_digest(large):
    data = encoded(large)
    digest, fast = PixelPath(SMALL, "fast")(data)
    exact_digest, exact = PixelPath(SMALL)(data)
    assert digest == exact_digest
    difference = np.abs(fast.astype(int) - exact.astype(int))
    assert 0 < difference.mean() < 1
    assert difference.max() < 20


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(large):
    assert load(encoded(large), at_least=144)[1].size == (200, 150)
    assert load(encoded(large), at_least=400)[1].size == (800, 600)
    assert load(encoded(large), at_least=601)[1].size == (1600, 1200)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_are_decoded_exactly(large, kind):
    data = encoded(large, kind)
    np.testing.assert_array_equal(PixelPath(SMALL, "fast")(data)[1], PixelPath(SMALL)(data)[1])


def test_a_jpeg_of_less_than_twice_the_pixels_needed_is_decoded_exactly(large):
    data = encoded(large.resize((200, 287)))
    np.testing.assert_array_equal(PixelPath(SMALL, "fast")(data)[1], PixelPath(SMALL)(data)[1])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_take_the_fast_way_too(large, mode):
    data = encoded(large.convert(mode))
    fast, exact = PixelPath(SMALL, "fast")(data)[1], PixelPath(SMALL)(data)[1]
    assert 0 < np.abs(fast.astype(int) - exact.astype(int)).mean() < 1


def test_orientation_is_applied_after_the_fast_way(large):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(large, exif=exif)
    fast, exact = PixelPath(SMALL, "fast")(data)[1], PixelPath(SMALL)(data)[1]
    assert np.abs(fast.astype(int) - exact.astype(int)).mean() < 1


def test_the_size_that_is_refused_is_the_files_own(large):
    with pytest.raises(DecodeError, match="1600 x 1200"):
        PixelPath(SMALL, "fast", max_pixels=10**6)(encoded(large))


def test_a_truncated_jpeg_is_an_error_either_way(large):
    data = encoded(large)[:20_000]
    for decode in ("exact", "fast"):
        with pytest.raises(DecodeError, match=r"truncated|damaged"):
            PixelPath(SMALL, decode)(data)
