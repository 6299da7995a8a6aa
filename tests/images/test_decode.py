from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from featx.images._decode import DecodeError, conversion_hint, decode, from_array, from_pil, open_header


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels(image: Image.Image) -> list:
    return np.asarray(image).tolist()


@pytest.fixture
def photo(photos) -> Image.Image:
    return Image.fromarray(photos[0]).resize((60, 40))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photo, orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo, format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data), expected)
    np.testing.assert_array_equal(from_pil(Image.open(io.BytesIO(data))), expected)


def test_a_pil_image_that_was_loaded_and_resized_still_turns_as_its_exif_says(photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encode(photo, "JPEG", exif=exif))).resize((30, 20))
    assert from_pil(image).size == (20, 30)


def test_sixteen_bit_grey_is_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) << 8
    for format in ("PNG", "TIFF"):
        got = decode(encode(Image.fromarray(values), format, exif=exif))
        np.testing.assert_array_equal(np.asarray(got)[:, :, 0], np.rot90(values >> 8, -1))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage",
        b"Exif\0\0",
        b"Exif\0\0no TIFF header",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",  # orientation 99
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02A\0\0\0\0\0\0\0",  # orientation "A"
    ],
)
def test_broken_metadata_does_not_cost_the_image(photo, exif):
    data = encode(photo, "JPEG", exif=exif)
    np.testing.assert_array_equal(decode(data), decode(encode(photo, "JPEG")))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_loses_its_low_byte(format):
    values = np.array([[0, 255, 256, 511, 32768, 65535]], np.uint16)
    assert np.asarray(decode(encode(Image.fromarray(values), format)))[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert np.asarray(from_pil(Image.fromarray(values)))[0, :, 2].tolist() == [0, 0, 1, 1, 128, 255]


def test_sixteen_bit_rgb_loses_its_low_byte_too():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"\0" + struct.pack(">6H", 0, 255, 256, 511, 32768, 65535)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert pixels(decode(data)) == [[[0, 0, 1], [1, 128, 255]]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_an_agreed_range_are_refused(mode):
    image = Image.new(mode, (4, 4))
    with pytest.raises(DecodeError, match=f"mode {mode} .* has no agreed range"):
        from_pil(image)
    with pytest.raises(DecodeError, match="no agreed range"):
        decode(encode(image, "TIFF"))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("LA", (100, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
    ],
)
def test_every_mode_becomes_rgb_on_white(mode, colour, expected):
    assert from_pil(Image.new(mode, (2, 3), colour)).getpixel((1, 2)) == expected


@pytest.mark.parametrize("transparency", [0, b"\0\xff"])
def test_a_palettes_transparent_colours_are_white(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(decode(encode(image, transparency=transparency))) == [[[255, 255, 255], [0, 200, 0]]]
    assert pixels(decode(encode(image))) == [[[200, 0, 0], [0, 200, 0]]]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_counts(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert decode(data).getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "MPO", "JPEG2000", "AVIF"])
def test_usual_formats_are_read(photo, format):
    Image.init()  # else a plugin that nobody has used yet looks like one that is missing
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow was built without {format}")
    assert decode(encode(photo, format)).size == photo.size


@pytest.mark.parametrize("format", ["EPS", "PDF", "ICO", "TGA"])
def test_other_formats_are_refused(photo, format):
    with pytest.raises(DecodeError, match="not an image"):
        decode(encode(photo, format))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "not an image: the file begins with b'<html>404</h'"),
        (b"\xff\xd8\xff\xe0 not more", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
    ],
)
def test_what_is_no_image_is_named(data, reason):
    with pytest.raises(DecodeError, match=reason):
        decode(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_truncated_image_is_damaged_never_half_black(photo, format):
    data = encode(photo, format)
    for length in (len(data) // 3, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(DecodeError, match="damaged"):
            decode(data[:length])


@settings(max_examples=60)
@given(st.data())
def test_damage_anywhere_gives_an_image_or_a_decode_error(data):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8))
    encoded = bytearray(encode(image, data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(DecodeError):
            assert decode(bytes(encoded), max_pixels=10_000).mode == "RGB"


def test_a_size_above_the_cap_is_refused_before_decoding():
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    data += struct.pack(">I", zlib.crc32(b"IHDR" + header)) + struct.pack(">I", 0) + b"IDAT"
    with pytest.raises(DecodeError, match=r"50000 x 50000 = 2,500,000,000 pixels, more than max_pixels=89,000,000"):
        decode(data)


@pytest.mark.parametrize("limit", [10, 1500])  # of 2,400 pixels: Pillow refuses, Pillow warns
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_our_cap_and_not_pillows_decides(photo, monkeypatch, format, limit):
    frames = {"save_all": True, "append_images": [photo.rotate(90)], "disposal": 2} if format == "GIF" else {}
    data = encode(photo, format, **frames)
    lazy = None if format == "WEBP" else Image.open(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert decode(data).size == photo.size
    assert lazy is None or from_pil(lazy).size == photo.size
    assert limit == Image.MAX_IMAGE_PIXELS


def test_more_pixels_than_the_cap_are_refused_wherever_they_come_from(photo):
    with pytest.raises(DecodeError, match="max_pixels=100"):
        decode(encode(photo), max_pixels=100)
    with pytest.raises(DecodeError, match="max_pixels=100"):
        from_pil(photo, max_pixels=100)
    with pytest.raises(DecodeError, match="max_pixels=100"):
        from_array(np.asarray(photo), max_pixels=100)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_arrays_of_every_accepted_shape_are_read(shape):
    array = np.full(shape, 255, np.uint8)
    assert pixels(from_array(array)) == np.full((4, 6, 3), 255).tolist()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0, 3), (6,), (4, 6, 2), (1, 4, 6, 3), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DecodeError, match=r"shape|pixels"):
        from_array(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("dtype", "hint"), [("float32", r"\(X \* 255\)"), ("uint16", "X >> 8"), ("bool", r"\* 255"), ("int64", "astype")]
)
def test_other_dtypes_are_refused_with_the_conversion(dtype, hint):
    with pytest.raises(DecodeError, match=hint):
        from_array(np.zeros((4, 4), dtype))
    assert conversion_hint(np.dtype(dtype))


def test_arrays_that_are_not_contiguous_are_read(photos):
    np.testing.assert_array_equal(from_array(photos[0][::2, ::-3]), photos[0][::2, ::-3])


def test_a_pil_image_is_left_as_it_is(photo):
    before = photo.copy()
    from_pil(photo)
    assert photo == before


def test_a_header_is_read_without_decoding(photo):
    header = open_header(encode(photo, "JPEG"))
    assert (header.format, header.mode, header.size) == ("JPEG", "RGB", (60, 40))


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_alpha_is_the_exact_mix_with_white(width, height, seed):
    rgba = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    alpha = rgba[:, :, 3:] / 255
    exact = rgba[:, :, :3] * alpha + 255 * (1 - alpha)
    for image in (from_array(rgba), from_pil(Image.fromarray(rgba)), decode(encode(Image.fromarray(rgba)))):
        assert np.abs(np.asarray(image) - exact).max() <= 1


def test_a_lazy_pil_image_that_many_threads_share_is_the_same_for_all(photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.fromarray(photos[0]), "PNG", exif=exif)
    expected = decode(data)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            lazy = Image.open(io.BytesIO(data))
            assert all(got == expected for got in pool.map(from_pil, [lazy] * 8))


def test_a_pil_image_whose_file_is_gone_is_named(files):
    with Image.open(files[0]) as image:
        pass
    with pytest.raises(DecodeError, match="the PIL image cannot be read"):
        from_pil(image)


@pytest.mark.parametrize("maxval", [65535, 16383, 4095, 1023, 511, 1000])
@pytest.mark.parametrize(("magic", "bands"), [(b"P5", 1), (b"P6", 3), (b"P2", 1), (b"P3", 3)])
def test_netpbm_of_more_than_8_bits_is_scaled_by_its_maxval(magic, bands, maxval):
    values = np.random.default_rng(0).integers(0, maxval + 1, (5, 7, bands))
    values.ravel()[:2] = 0, maxval
    plain = b" ".join(b"%d" % value for value in values.ravel()).replace(b" ", b" # a comment 3\n", 1)
    body = plain if magic in (b"P2", b"P3") else values.astype(">u2").tobytes()
    data = magic + b"\n# made by hand\n7 5\n%d\n" % maxval + body
    got = np.asarray(decode(data)).astype(int)[:, :, :bands]
    assert np.abs(got - values / maxval * 255).max() <= 1
    if maxval & (maxval + 1) == 0:  # as other files of as many bits
        np.testing.assert_array_equal(got, values >> (maxval.bit_length() - 8))
    np.testing.assert_array_equal(from_pil(Image.open(io.BytesIO(data))), decode(data))


@pytest.mark.parametrize("maxval", [1, 15, 100, 255])
@pytest.mark.parametrize("magic", [b"P5", b"P2"])
def test_netpbm_of_8_bits_and_fewer_is_scaled_by_its_maxval(magic, maxval):
    values = np.arange(maxval + 1)
    body = values.astype(np.uint8).tobytes() if magic == b"P5" else b" ".join(b"%d" % value for value in values)
    data = magic + b" %d 1 %d\n" % (len(values), maxval) + body
    assert np.asarray(decode(data))[0, :, 0].tolist() == np.rint(values / maxval * 255).astype(int).tolist()


@pytest.mark.parametrize("body", [b"1 2 3", b"1 2 3 -4", b"1 2 3 4096", b"1 2 3 x", b"1 2 3 4.5"])
def test_a_plain_pgm_with_other_than_its_values_is_damaged(body):
    with pytest.raises(DecodeError, match="the PPM data is damaged"):
        decode(b"P2 2 2 4095\n" + body)


def test_a_pgm_that_is_cut_off_is_damaged():
    with pytest.raises(DecodeError, match="the PPM data is damaged"):
        decode(b"P5 2 2 65535\n" + bytes(7))
