"""Exact pixels are Pillow's; fast ones are near, come of fewer coefficients, and are resized in vector instructions."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from featx.exceptions import MissingDependencyError
from featx.images import DecodeError, PixelPath, Preprocess, load
from featx.images._resize import resize_fast

pytest.importorskip("cykooz_resizer", reason="needs pip install 'featx[fast]'")

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


@pytest.mark.parametrize("size", [(200, 287), (40, 50)], ids=["smaller", "larger"])
def test_a_jpeg_of_less_than_twice_the_pixels_needed_is_only_resized_fast(large, size):
    data = encoded(large.resize(size))
    fast = PixelPath(SMALL, "fast")(data)[1]
    np.testing.assert_array_equal(fast, SMALL(load(data)[1], resize_fast))
    apart = np.abs(fast.astype(int) - PixelPath(SMALL)(data)[1])
    assert (apart == 0).mean() > 0.98
    assert (apart > 2).mean() < 0.02  # a row of an enlarged image at most


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_are_decoded_exactly_and_resized_fast(large, kind):
    data = encoded(large, kind)
    image = load(data)[1]
    for source in (data, image, np.asarray(image)):
        np.testing.assert_array_equal(PixelPath(SMALL, "fast")(source)[1], SMALL(image, resize_fast))


def test_no_text_in_a_file_changes_how_it_is_resized(large):
    text = PngInfo()
    text.add_text("reduced", "True")
    plain, named = (encoded(large, "PNG", pnginfo=info) for info in (None, text))
    np.testing.assert_array_equal(*(PixelPath(SMALL, "fast")(data)[1] for data in (plain, named)))


def test_grey_palette_and_transparent_images_are_what_the_policy_makes_them_then_resized_fast(large):
    small = large.resize((300, 200))
    transparent = small.convert("RGBA")
    transparent.putalpha(small.convert("L"))
    for image in (small.convert("L"), small.convert("P"), small.convert("1"), transparent):
        data = encoded(image, "PNG")
        np.testing.assert_array_equal(PixelPath(SMALL, "fast")(data)[1], SMALL(load(data)[1], resize_fast))


def test_pixels_are_only_had_with_the_package_that_resizes_fast(large, monkeypatch):
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    with pytest.raises(MissingDependencyError, match=r"cykooz-resizer.*pip install 'featx\[fast\]'"):
        PixelPath(SMALL, "fast")
    for decode in ("exact", "fast:1"):
        assert PixelPath(SMALL, decode)(encoded(large))[1].shape == (64, 64, 3)


def test_what_was_fast_at_first_is_a_jpeg_of_a_fraction_of_its_size_resized_exactly(large):
    data = encoded(large)
    np.testing.assert_array_equal(PixelPath(SMALL, "fast:1")(data)[1], SMALL(load(data, at_least=144)[1]))


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


def test_a_jpeg_that_was_cut_and_closed_by_an_end_marker_is_an_error_either_way(large):
    for progressive in (False, True):
        data = encoded(large, progressive=progressive)
        for share in (0.5, 0.9):
            cut = data[: int(share * len(data))] + b"\xff\xd9"
            for decode in ("exact", "fast"):
                with pytest.raises(DecodeError, match="pixels are missing"):
                    PixelPath(SMALL, decode)(cut)
