from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from featx.images import load, to_pixels

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
GREY, RGB, PALETTE = 0, 2, 3


def encode(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels(source):
    return np.asarray(to_pixels(source)).tolist()


def png(values, bits, kind, transparent=None, palette=None):
    """One row of samples."""
    values = np.asarray(values)
    bands = 3 if kind == RGB else 1
    if bits == 16:
        row = values.astype(">u2").tobytes()
    else:
        binary = "".join(f"{value:0{bits}b}" for value in values.ravel())
        row = int(binary.ljust(-(-len(binary) // 8) * 8, "0"), 2).to_bytes(-(-len(binary) // 8), "big")
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", values.size // bands, 1, bits, kind, 0, 0, 0))]
    if palette is not None:
        chunks.append((b"PLTE", bytes(palette)))
    if transparent is not None:
        chunks.append((b"tRNS", transparent))
    chunks += [(b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def unread(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_grey_that_a_png_calls_transparent_is_white(bits):
    highest = (1 << bits) - 1
    values = sorted({0, highest // 2, highest // 2 + 1, highest})
    for transparent in values:
        data = png(values, bits, GREY, struct.pack(">H", transparent))
        levels = [value >> 8 if bits == 16 else value * 255 // highest for value in values]
        # Of 1 bit, the other one may be white.
        others = [level for value, level in zip(values, levels, strict=True) if value != transparent]
        background = 0 if others == [255] else 255
        shown = (background if value == transparent else level for value, level in zip(values, levels, strict=True))
        expected = [[level] * 3 for level in shown]
        assert pixels(data) == pixels(unread(data)) == [expected]


@pytest.mark.parametrize("bits", [8, 16])
def test_the_color_that_a_png_calls_transparent_is_white_and_no_other(bits):
    high = 100 << (bits - 8)
    colors = np.array([[high, high, high + 1], [high, high, high + 2], [high + 1, high, high + 1], [0, 0, 0]])
    data = png(colors, bits, RGB, struct.pack(">3H", *colors[0]))
    expected = (colors >> (bits - 8)).tolist()
    expected[0] = [255] * 3
    assert pixels(data) == pixels(unread(data)) == [expected]


def test_bits_beyond_a_png_samples_depth_do_not_count():
    assert pixels(png([1, 2], 2, GREY, struct.pack(">H", 0xFF01))) == [[[255] * 3, [170] * 3]]
    assert pixels(png([1, 2], 8, GREY, struct.pack(">H", 0xFF01))) == [[[255] * 3, [2] * 3]]
    assert pixels(png([[1, 2, 3], [4, 5, 6]], 8, RGB, struct.pack(">3H", 257, 258, 259))) == [[[255] * 3, [4, 5, 6]]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_png_palettes_transparent_entries_are_white(bits):
    data = png([0, 1], bits, PALETTE, b"\0\xff", [200, 0, 0, 0, 200, 0])
    assert pixels(data) == pixels(unread(data)) == [[[255, 255, 255], [0, 200, 0]]]


@pytest.mark.parametrize("color", [40_000, (40_000, 300, 5)])
def test_a_png_that_pillow_has_read_already_is_transparent_as_far_as_can_be_told(color):
    values = np.array([color, np.subtract(color, 256)])
    packed = struct.pack(f">{np.size(color)}H", *np.atleast_1d(color))
    image = unread(png(values, 16, GREY if isinstance(color, int) else RGB, packed))
    image.load()
    assert pixels(image)[0][0] == [255] * 3
    assert pixels(image)[0][1] != [255] * 3


def icon(kind):
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    draw = {"circle": ImageDraw.Draw(image).ellipse, "square": ImageDraw.Draw(image).rectangle}[kind]
    draw((8, 8, 24, 24), fill=(*WHITE, 255))
    return image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa"])
def test_white_shapes_on_transparency_lie_on_black(mode):
    image = icon("circle")
    image = image.convert("LA").convert(mode) if mode in ("La", "LA", "PA") else image.convert(mode)
    got = np.asarray(to_pixels(image))
    assert got[0, 0].tolist() == [0, 0, 0]
    assert got[16, 16].tolist() == [255, 255, 255]


def test_white_shapes_differ_wherever_they_come_from():
    sources = [icon("circle"), icon("square")]
    for way in (lambda image: image, np.asarray, encode):
        digests = {load(way(image))[0] for image in sources}
        assert len(digests) == 2
    for image in sources:
        assert pixels(image) == pixels(np.asarray(image)) == pixels(encode(image))


@pytest.mark.parametrize(("level", "background"), [(246, 255), (247, 0), (255, 0)])
def test_within_8_levels_of_white_is_too_near_to_be_seen(level, background):
    image = Image.new("RGBA", (4, 4), (level, 255, 255, 255))
    image.putpixel((0, 0), (9, 9, 9, 0))
    assert to_pixels(image).getpixel((0, 0)) == (background,) * 3


def test_one_pixel_that_can_be_seen_on_white_keeps_it_white():
    image = icon("circle")
    image.putpixel((16, 16), (0, 0, 0, 255))
    assert to_pixels(image).getpixel((0, 0)) == WHITE


def test_what_cannot_be_seen_on_black_either_lies_on_white():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 5))
    assert pixels(image) == np.full((4, 4, 3), 250).tolist()


@pytest.mark.parametrize("color", [BLACK, WHITE, (1, 200, 3)])
def test_what_is_wholly_transparent_is_white(color):
    assert pixels(Image.new("RGBA", (3, 2), (*color, 0))) == np.full((2, 3, 3), 255).tolist()


def bmp(pixel_bytes, masks, header=124):
    """A row of pixels of 4 bytes each."""
    n = len(pixel_bytes) // 4
    info = struct.pack("<IiiHHIIiiII", header, n, 1, 1, 32, 3 if masks else 0, len(pixel_bytes), 0, 0, 0, 0)
    info += struct.pack(f"<{len(masks)}I", *masks) if masks else b""
    size = max(header, len(info))
    info = info.ljust(size, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + size + len(pixel_bytes), 0, 0, 14 + size) + info + pixel_bytes


BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@pytest.mark.parametrize("header", [56, 108, 124])
@pytest.mark.parametrize("masks", [BGRA, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0, 0, 0, 0)])
def test_a_bmp_whose_alpha_is_0_everywhere_is_opaque(masks, header):
    blue_first = masks != (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    data = bmp(bytes([10, 20, 30, 0, 40, 50, 60, 0]), masks, header)
    expected = [[30, 20, 10], [60, 50, 40]] if blue_first else [[10, 20, 30], [40, 50, 60]]
    assert pixels(data) == pixels(unread(data)) == [expected]


def test_a_bmp_without_an_alpha_mask_is_opaque():
    assert pixels(bmp(bytes([10, 20, 30, 0, 40, 50, 60, 9]), (), 40)) == [[[30, 20, 10], [60, 50, 40]]]


def test_a_bmp_with_an_alpha_somewhere_has_one():
    assert pixels(bmp(bytes([10, 20, 30, 0, 40, 50, 60, 255]), BGRA)) == [[[255, 255, 255], [60, 50, 40]]]


def gif(image, screen, at, **options):
    """One whose frame leaves a part of its screen."""
    data = bytearray(encode(image, "GIF", **options))
    data[6:10] = struct.pack("<HH", *screen)
    frame = data.index(b",", 13 + 3 * (2 << (data[10] & 7)))
    data[frame + 1 : frame + 5] = struct.pack("<HH", *at)
    return bytes(data)


@pytest.mark.parametrize("mode", ["P", "L"])
@pytest.mark.parametrize("transparent", [{}, {"transparency": 0}])
def test_what_a_gifs_first_frame_leaves_of_its_screen_is_white(mode, transparent):
    image = Image.new(mode, (4, 3), 1)
    if mode == "P":
        image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((0, 0), 0)
    color, other = ([0, 0, 200], [200, 0, 0]) if mode == "P" else ([1, 1, 1], [0, 0, 0])
    data = gif(image, (8, 6), (2, 1), **transparent)
    expected = np.full((6, 8, 3), 255)
    expected[1:4, 2:6] = color
    expected[1, 2] = [255, 255, 255] if transparent else other
    read = unread(data)
    read.load()
    assert pixels(data) == pixels(unread(data)) == pixels(read) == expected.tolist()


def test_a_white_frame_on_a_larger_screen_lies_on_black():
    data = gif(Image.new("L", (4, 3), 255), (8, 6), (2, 1))
    assert to_pixels(data).getpixel((0, 0)) == BLACK


def test_a_frame_beyond_the_screen_widens_it():
    image = Image.new("L", (4, 3), 7)
    assert pixels(gif(image, (2, 2), (0, 0))) == np.full((3, 4, 3), 7).tolist()


def test_a_later_frame_that_was_chosen_is_as_pillow_has_it():
    frames = [Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "red")]
    frames[1].putpixel((3, 3), (0, 0, 255))
    image = unread(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    image.seek(1)
    np.testing.assert_array_equal(to_pixels(image), frames[1])
