from __future__ import annotations

import io
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.images import DecodeError, _pillow, open_header, to_pixels
from tests.images.tiffs import DEFLATE, LZW, PACKBITS, RAW, Page, write_tiff

RGB, CMYK, YCBCR, LAB, CFA, LINEAR_RAW, LOGLUV = 2, 5, 6, 8, 32803, 34892, 32845
REDUCED, MASK = {254: [1]}, {254: [4]}


def noise(*shape, bits=8):
    kind = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(0).integers(0, 1 << bits, shape, dtype=kind)


def by_depth(samples, bits):
    values = samples.astype(int)
    return values >> (bits - 8) if bits >= 8 else values * 255 // ((1 << bits) - 1)


def as_rgb(values):
    return np.repeat(values[:, :, None], 3, axis=2) if values.ndim == 2 else values[:, :, :3]


def same_as_bytes_and_as_pil_image(data, expected):
    np.testing.assert_array_equal(to_pixels(data), expected)
    np.testing.assert_array_equal(to_pixels(Image.open(io.BytesIO(data))), expected)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 16])
def test_grey_whose_white_is_0_is_inverted_at_every_depth(bits, order):
    grey = noise(20, 30, bits=bits)
    data = write_tiff(Page(grey, bits, colors=0), order=order)
    np.testing.assert_array_equal(to_pixels(data), as_rgb(255 - by_depth(grey, bits)))


@pytest.mark.parametrize("compression", [RAW, LZW, DEFLATE, PACKBITS])
@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("colors", [0, 1, RGB])
def test_samples_become_8_bits_by_their_depth(colors, bits, compression):
    samples = noise(23, 37, 3, bits=bits) if colors == RGB else noise(23, 37, bits=bits)
    expected = by_depth(samples, bits)
    expected = as_rgb(255 - expected if colors == 0 else expected)
    for order in "<>":
        for planar in (False, True):
            for layout in ({"rows": 5}, {"tile": (16, 16)}, {"fill_order": 2}):
                page = Page(samples, bits, colors, compression, planar, **layout)
                np.testing.assert_array_equal(to_pixels(write_tiff(page, order=order)), expected, str((order, page)))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", [LZW, DEFLATE])
@pytest.mark.parametrize("bits", [8, 16])
def test_differences_of_neighbours_are_summed(bits, compression, planar, order):
    samples = noise(23, 37, 3, bits=bits)
    for layout in ({"rows": 5}, {"tile": (16, 16)}):
        page = Page(samples, bits, RGB, compression, planar, predictor=2, **layout)
        np.testing.assert_array_equal(to_pixels(write_tiff(page, order=order)), by_depth(samples, bits))


@pytest.mark.parametrize("compression", [RAW, PACKBITS])
def test_a_predictor_without_a_scheme_that_has_one_says_nothing(compression):
    samples = noise(8, 9, 3, bits=16)
    page = Page(samples, 16, RGB, compression, tags={317: [2]})
    np.testing.assert_array_equal(to_pixels(write_tiff(page)), by_depth(samples, 16))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("layout", [{}, {"planar": True}, {"fill_order": 2}], ids=str)
def test_a_palette_in_any_layout_has_its_colors(bits, layout):
    colormap = noise(3, 1 << bits, bits=16)
    indices = noise(9, 20, bits=bits)
    data = write_tiff(Page(indices, bits, 3, tags={320: colormap.ravel().tolist()}, **layout))
    same_as_bytes_and_as_pil_image(data, (colormap.T >> 8)[indices])


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("extra", "mode"), [(0, "RGB"), (1, "RGBa"), (2, "RGBA")])
def test_a_fourth_band_is_the_alpha_that_it_says_it_is(extra, mode, bits, planar):
    samples = noise(9, 20, 4, bits=bits)
    data = write_tiff(Page(samples, bits, RGB, planar=planar, tags={338: [extra]}))
    high = by_depth(samples, bits).astype(np.uint8)[:, :, : len(mode)]
    np.testing.assert_array_equal(
        to_pixels(data), to_pixels(Image.frombytes(mode, (20, 9), np.ascontiguousarray(high)))
    )


def test_big_files_and_cmyk_of_16_bits_are_read():
    samples = noise(9, 20, 4, bits=16)
    expected = Image.frombytes("CMYK", (20, 9), (samples >> 8).astype(np.uint8)).convert("RGB")
    for planar in (False, True):
        data = write_tiff(Page(samples, 16, CMYK, planar=planar), big=True)
        np.testing.assert_array_equal(to_pixels(data), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_that_are_read_here_are_turned_too(orientation):
    samples = noise(6, 9, 3, bits=16)
    plain = write_tiff(Page((samples >> 8).astype(np.uint8), 8, RGB, tags={274: [orientation]}))
    deep = write_tiff(Page(samples, 16, RGB, planar=True, tags={274: [orientation]}))
    np.testing.assert_array_equal(to_pixels(deep), to_pixels(plain))


@pytest.mark.parametrize(
    ("dtype", "format", "told"),
    [
        ("i1", 2, "8-bit signed integers"),
        ("i2", 2, "16-bit signed integers"),
        ("i4", 2, "32-bit signed integers"),
        ("f2", 3, "16-bit floats"),
        ("f4", 3, "32-bit floats"),
        ("f8", 3, "64-bit floats"),
        ("u4", 1, "32-bit unsigned integers"),
        ("u8", 1, "64-bit unsigned integers"),
        ("c8", 6, "64-bit complex floats"),
    ],
)
@pytest.mark.parametrize("bands", [1, 3])
def test_numbers_without_an_agreed_range_are_refused_by_their_name(dtype, format, told, bands):
    samples = np.ones((4, 5, bands), dtype)
    colors = 1 if bands == 1 else RGB
    data = write_tiff(Page(samples, samples.itemsize * 8, colors, tags={339: [format] * bands}))
    with pytest.raises(DecodeError, match=f"a TIFF of {told} in {bands} band.* no agreed range; save it as"):
        to_pixels(data)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (Page(noise(4, 5, 5), 8, 1), r"8-bit unsigned integers in 5 bands \(grey\), which is not read.* or each band"),
        (Page(noise(4, 5, 5), 8, RGB), r"in 5 bands \(RGB\), which is not read"),
        (Page(noise(4, 5, 12), 8, RGB, tags={338: [0] * 9}), r"in 12 bands \(RGB\), which is not read"),
        (Page(noise(4, 5, 3), 8, 1, planar=True), r"in 3 bands \(grey\), which is not read"),
        (Page(noise(4, 5, 3), 8, RGB, tags={258: [5, 6, 5]}), "5, 6, 5-bit"),
        (Page(noise(4, 5, 3), 8, RGB, tags={259: [34712]}), "compressed by scheme 34712"),
        (Page(noise(4, 5, bits=12), 12, 1, DEFLATE, tags={317: [2]}), "with predictor 2"),
        (Page(noise(4, 5, 3, bits=16), 16, LOGLUV), "LogLuv"),
        (Page(noise(4, 5, 3), 8, LAB, planar=True), "CIELAB"),
        (Page(noise(4, 5, 3), 8, YCBCR, planar=True), "YCbCr"),
        (Page(noise(4, 5, bits=16), 16, CFA), r"a raw photo \(color filter array\) of 5 x 4 pixels; develop it"),
        (Page(noise(4, 5, 3, bits=16), 16, LINEAR_RAW), r"a raw photo \(linear raw\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_read_is_named_and_not_called_damaged(page, told):
    with pytest.raises(DecodeError, match=told) as caught:
        to_pixels(write_tiff(page))
    assert "damaged" not in str(caught.value)


def test_a_bigtiff_in_big_endian_order_is_named():
    with pytest.raises(DecodeError, match="a BigTIFF in big-endian byte order"):
        to_pixels(write_tiff(Page(noise(4, 5)), order=">", big=True))


@pytest.mark.parametrize(
    "page",
    [Page(noise(9, 20, 3, bits=16), 16, RGB, planar=True), Page(noise(9, 20), 8, 0, planar=True)],
    ids=["RGB", "inverted grey"],
)
def test_a_page_that_pillow_has_misread_already_is_refused(page):
    image = Image.open(io.BytesIO(write_tiff(page)))
    image.load()
    with pytest.raises(DecodeError, match="in planes, which Pillow has misread; pass the file's path"):
        to_pixels(image)


@pytest.mark.parametrize("compression", [RAW, DEFLATE])
@pytest.mark.parametrize("samples", [noise(9, 20, 3), noise(9, 20)], ids=["RGB", "grey"])
def test_planes_that_pillow_reads_rightly_are_taken(samples, compression):
    image = Image.open(
        io.BytesIO(write_tiff(Page(samples, 8, RGB if samples.ndim == 3 else 1, compression, planar=True)))
    )
    image.load()
    np.testing.assert_array_equal(to_pixels(image), as_rgb(samples))


def test_a_header_without_a_size_is_damaged():
    with pytest.raises(DecodeError, match="the TIFF header is damaged"):
        to_pixels(write_tiff(Page(noise(4, 5), tags={256: []})))


@pytest.mark.parametrize(("bits", "colors"), [(16, 0), (16, 1), (12, 1)])
def test_grey_that_pillow_has_read_already_is_as_in_the_file(bits, colors):
    data = write_tiff(Page(noise(9, 20, bits=bits), bits, colors, tags={274: [6]}))
    image = Image.open(io.BytesIO(data))
    image.load()
    np.testing.assert_array_equal(to_pixels(image), to_pixels(data))


def flat(width, height, value, **options):
    return Page(np.full((height, width, 3), value, np.uint8), 8, RGB, **options)


def raw(width, height, below=()):
    return Page(np.zeros((height, width), np.uint16), 16, CFA, tags={254: [0]}, below=list(below))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("reduced", [REDUCED, {255: [2]}], ids=str)
def test_a_reduced_first_page_gives_way_to_the_largest(reduced, big):
    data = write_tiff(flat(8, 6, 10, tags=reduced), flat(40, 30, 20), flat(80, 60, 30), flat(20, 15, 40), big=big)
    same_as_bytes_and_as_pil_image(data, np.full((60, 80, 3), 30))
    assert open_header(data).size == (80, 60)


def test_a_page_below_the_first_one_is_taken_if_it_is_larger():
    preview = flat(8, 6, 10, tags=REDUCED, below=[flat(80, 60, 30)])
    same_as_bytes_and_as_pil_image(write_tiff(preview), np.full((60, 80, 3), 30))
    pyramid = flat(80, 60, 30, below=[flat(40, 30, 10, tags=REDUCED)])
    same_as_bytes_and_as_pil_image(write_tiff(pyramid), np.full((60, 80, 3), 30))


def test_of_an_ordinary_file_the_first_page_counts():
    data = write_tiff(flat(8, 6, 10), flat(80, 60, 30))
    same_as_bytes_and_as_pil_image(data, np.full((6, 8, 3), 10))


@pytest.mark.parametrize("preview", [{}, REDUCED], ids=["ordinary", "preview"])
def test_of_a_pil_image_the_page_that_was_chosen_counts(preview):
    image = Image.open(io.BytesIO(write_tiff(flat(8, 6, 10, tags=preview), flat(40, 30, 20), flat(80, 60, 30))))
    image.seek(1)
    np.testing.assert_array_equal(to_pixels(image), np.full((30, 40, 3), 20))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_a_pil_image_that_has_not_been_read_can_still_be(format):
    pixels, file = noise(9, 20, 3), io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    image = Image.open(file)
    at = image.fp.tell()
    to_pixels(image)
    assert image.fp.tell() == at
    np.testing.assert_array_equal(image, pixels)


def test_pillows_limit_does_not_hold_here(monkeypatch):
    samples = noise(9, 20, 3, bits=16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    monkeypatch.setattr(_pillow, "MAX_PIXELS", 50)  # above it Pillow's limit is lifted, and again for the bytes
    np.testing.assert_array_equal(to_pixels(write_tiff(Page(samples, 16, RGB))), by_depth(samples, 16))
    assert Image.MAX_IMAGE_PIXELS == 50


def test_a_mask_is_no_picture():
    data = write_tiff(flat(8, 6, 10, tags=REDUCED, below=[flat(80, 60, 30), flat(90, 90, 40, tags=MASK)]))
    same_as_bytes_and_as_pil_image(data, np.full((60, 80, 3), 30))


def test_a_page_below_is_turned_as_the_first_one_says():
    right = np.zeros((40, 60, 3), np.uint8)
    right[:, 30:] = 255
    for bits in (8, 16):
        page = Page(right.astype(np.uint16) << 8, 16, RGB) if bits == 16 else Page(right, 8, RGB)
        data = write_tiff(flat(8, 6, 10, tags={**REDUCED, 274: [6]}, below=[page]))
        np.testing.assert_array_equal(to_pixels(data), np.rot90(right, -1))


def test_of_a_raw_photo_its_large_preview_is_taken():
    data = write_tiff(flat(8, 6, 10, tags=REDUCED, below=[raw(80, 60), flat(76, 56, 30, tags=REDUCED)]))
    same_as_bytes_and_as_pil_image(data, np.full((56, 76, 3), 30))


@pytest.mark.parametrize("order", "<>")
def test_a_raw_photo_with_a_small_preview_is_refused_as_what_it_is(order):
    data = write_tiff(flat(16, 12, 10, tags=REDUCED, below=[raw(80, 60)]), order=order)
    with pytest.raises(
        DecodeError, match=r"a raw photo .* of 80 x 60 pixels; develop it.* a preview of 16 x 12 pixels"
    ):
        to_pixels(data)


def test_a_preview_whose_picture_is_cut_off_is_damaged():
    data = write_tiff(flat(8, 6, 10, tags=REDUCED), flat(80, 60, 30))
    with pytest.raises(DecodeError, match="damaged"), pytest.warns(UserWarning, match="File|EXIF|Tag"):
        to_pixels(data[: len(data) - 400])


@pytest.mark.parametrize("tag", [322, 323])
def test_a_tile_far_larger_than_its_page_is_damage(tag):
    data = write_tiff(Page(noise(9, 20), tile=(16, 16), tags={tag: [60_000]}))
    with pytest.raises(DecodeError, match="the TIFF is damaged: it names tiles of 60,000 pixels"):
        to_pixels(data)


def test_pages_in_a_circle_end():
    data = bytearray(write_tiff(flat(8, 6, 10, tags=REDUCED), flat(80, 60, 30)))
    first = int.from_bytes(data[4:8], "little")
    n = int.from_bytes(data[first : first + 2], "little")
    second = int.from_bytes(data[first + 2 + 12 * n : first + 6 + 12 * n], "little")
    n = int.from_bytes(data[second : second + 2], "little")
    data[second + 2 + 12 * n : second + 6 + 12 * n] = first.to_bytes(4, "little")
    np.testing.assert_array_equal(to_pixels(bytes(data)), np.full((60, 80, 3), 30))


DAMAGED = [
    write_tiff(Page(noise(9, 20, 3, bits=12), 12, RGB, LZW, planar=True)),
    write_tiff(Page(noise(9, 20, bits=16), 16, 0, DEFLATE, predictor=2, tile=(16, 16))),
    write_tiff(flat(8, 6, 10, tags=REDUCED, below=[raw(20, 15), flat(19, 14, 30, tags=REDUCED)]), big=True),
]


@settings(max_examples=60)
@given(
    st.sampled_from(DAMAGED), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_damage_anywhere_gives_an_image_or_a_decode_error(data, changes):
    damaged = bytearray(data)
    for at, value in changes:
        damaged[-1 - at % len(data)] = value  # directories lie at the end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(DecodeError):
            assert to_pixels(bytes(damaged), max_pixels=10_000).mode == "RGB"
