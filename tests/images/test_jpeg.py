"""A JPEG's pixels are Pillow's, bit for bit; where some are missing it is damaged, and only there."""

from __future__ import annotations

import io

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.images import DecodeError, to_pixels

END = b"\xff\xd9"


def encode(image: Image.Image, format: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def as_pillow(data: bytes, at_least: int | None = None) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    if at_least is not None:
        image.draft(None, (at_least, at_least))
    return image.convert("RGB")


def as_ycck(data: bytes) -> bytes:
    """Say in a CMYK file's Adobe segment that its colours were transformed."""
    place = data.index(b"Adobe") + 11
    return data[:place] + b"\2" + data[place + 1 :]


@pytest.fixture(scope="module")
def kinds(photos) -> dict[str, bytes]:
    """A photo in all the ways in which a JPEG is made."""
    photo = Image.fromarray(photos[0]).resize((203, 135))
    made = {
        f"{mode}, subsampling {subsampling}, progressive {progressive}, restarts {restarts}": encode(
            photo.convert(mode), subsampling=subsampling, progressive=progressive, restart_marker_rows=restarts
        )
        for mode, subsamplings in {"RGB": (0, 1, 2), "L": (-1,), "CMYK": (-1,)}.items()
        for subsampling in subsamplings
        for progressive in (False, True)
        for restarts in (0, 1)
    }
    plain = np.asarray(photo)
    made |= {name: simplejpeg.encode_jpeg(plain, colorsubsampling=name) for name in ("411", "440")}
    return made | {"RGB kept": encode(photo, keep_rgb=True), "YCCK": as_ycck(encode(photo.convert("CMYK")))}


def refused(data: bytes, at_least: int | None = None) -> bool:
    try:
        to_pixels(data, at_least=at_least)
    except DecodeError as error:
        assert "damaged" in str(error)  # noqa: PT017
        return True
    return False


@settings(max_examples=60)
@given(st.data())
def test_pixels_are_pillows_bit_for_bit(data):
    draw = data.draw
    seed, width, height = draw(st.integers(0, 99)), draw(st.integers(1, 70)), draw(st.integers(1, 70))
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    options = {
        "quality": draw(st.integers(1, 100)),
        "progressive": draw(st.booleans()),
        "optimize": draw(st.booleans()),
        "restart_marker_blocks": draw(st.integers(0, 4)),
    }
    mode = draw(st.sampled_from(["RGB", "L", "CMYK", "YCCK"]))
    image = Image.fromarray(values).convert(mode.replace("YCCK", "CMYK"))
    if mode == "RGB":
        options |= {"subsampling": draw(st.integers(0, 2))}
        options |= {"keep_rgb": True, "subsampling": 0} if draw(st.booleans()) else {}
    encoded = as_ycck(encode(image, **options)) if mode == "YCCK" else encode(image, **options)
    at_least = draw(st.sampled_from([None, 40, 20, 10, 3]))
    np.testing.assert_array_equal(to_pixels(encoded, at_least=at_least), as_pillow(encoded, at_least))


@pytest.mark.parametrize("at_least", [None, 90, 60, 30, 10])
def test_every_kind_has_pillows_pixels_at_every_scale(kinds, at_least):
    for name, data in kinds.items():
        pixels = to_pixels(data, at_least=at_least)
        np.testing.assert_array_equal(pixels, as_pillow(data, at_least), err_msg=name)


def test_a_pillow_that_cannot_share_memory_gives_the_same_pixels(kinds, monkeypatch):
    expected = {name: as_pillow(data) for name, data in kinds.items()}
    monkeypatch.delattr(Image.core, "map_buffer")
    for name, data in kinds.items():
        np.testing.assert_array_equal(to_pixels(data), expected[name], err_msg=name)


@pytest.mark.parametrize("at_least", [None, 30])
def test_a_jpeg_cut_anywhere_and_closed_by_an_end_marker_is_damaged(kinds, at_least):
    for name, data in kinds.items():
        first = data.index(b"\xff\xda") + 20
        cuts = range(first, len(data) - 12, 1 + len(data) // 40)
        if "progressive True" in name:  # between two scans nothing but sharpness is missing
            between = [place for place in range(first, len(data)) if data[place : place + 2] == b"\xff\xc4"]
            cuts = [cut for cut in cuts if not any(-8 < cut - place < 8 for place in between)]
        accepted = [cut for cut in cuts if not refused(data[:cut] + END, at_least)]
        assert accepted == [], name


def test_the_message_says_what_is_missing(kinds):
    data = next(iter(kinds.values()))
    with pytest.raises(DecodeError, match="the JPEG data is damaged: pixels are missing"):
        to_pixels(data[: len(data) // 2] + END)


def test_a_cut_jpeg_is_damaged_as_a_pil_image_too(kinds):
    data = next(iter(kinds.values()))
    image = Image.open(io.BytesIO(data[: len(data) // 2] + END))
    with pytest.raises(DecodeError, match="pixels are missing"):
        to_pixels(image)


def test_a_pil_image_is_decoded_once_and_its_file_closed(kinds, tmp_path):
    data = next(iter(kinds.values()))
    (tmp_path / "photo.jpg").write_bytes(data)
    image = Image.open(tmp_path / "photo.jpg")
    for _ in range(2):
        np.testing.assert_array_equal(to_pixels(image), as_pillow(data))
        assert image.fp is None


def test_a_restart_that_never_comes_is_damaged(kinds):
    data = kinds["RGB, subsampling 0, progressive False, restarts 1"]
    cut = data.index(b"\xff\xd3")  # a row of blocks ends there
    assert refused(data[:cut] + END)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-2] + bytes(4) + END,
        lambda data: data[:-2] + bytes(1000) + END,
        lambda data: data + b"not of the image",
        lambda data: data + data,
        lambda data: data.replace(b"JFIF\0\1\1", b"JFIF\0\7\7"),
        lambda data: data[:2] + b"\xff\xfe\0\7hello" + data[2:],
        lambda data: data[:2] + b"\xff" * 9 + data[2:],
        lambda data: data[: data.index(b"\xff\xdb")] + b"junk" + data[data.index(b"\xff\xdb") :],
    ],
    ids=["extraneous", "many extraneous", "trailing", "another behind", "revision", "comment", "filling", "in header"],
)
def test_what_costs_no_pixel_is_accepted(kinds, change):
    for name, data in kinds.items():
        try:
            expected = as_pillow(change(data))
        except (OSError, SyntaxError):  # Pillow's own verdict on the header holds
            assert refused(change(data)), name
            continue
        np.testing.assert_array_equal(to_pixels(change(data)), expected, err_msg=name)


def test_both_extraneous_bytes_and_missing_pixels_are_damaged(kinds):
    for name, data in kinds.items():
        place = data.index(b"\xff\xdb")
        odd = data[:place] + b"\xff\0" + data[place:]  # libjpeg tells of the first trouble alone
        np.testing.assert_array_equal(to_pixels(odd), as_pillow(data), err_msg=name)
        if "restarts 1" not in name:
            assert refused(odd[: len(odd) * 3 // 5] + END), name


def test_bits_that_only_fill_the_last_byte_may_be_missing():
    rng = np.random.default_rng(0)
    spared = 0
    for _ in range(40):
        data = encode(Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)))
        short = data[:-3] + END
        if not refused(short):
            spared += 1
            assert np.abs(np.asarray(to_pixels(short), int) - np.asarray(as_pillow(data), int))[:8].max() == 0
    assert spared


@pytest.mark.parametrize("odd", [0, 1], ids=["at even places", "at odd places"])
def test_a_jpeg_of_very_many_scans_is_refused(odd):
    data = encode(Image.new("L", (16, 16)), progressive=True)
    start = data.rindex(b"\xff\xda")
    front, scan = data[:start] + bytes((start + odd) % 2), data[start:-2]
    scan += bytes(len(scan) % 2)
    with pytest.raises(DecodeError, match="more than 100 scans"):
        to_pixels(front + scan * 200 + END)


@pytest.mark.parametrize("kind", [0xC3, 0xC9], ids=["lossless", "arithmetic"])
def test_a_frame_that_no_huffman_code_fills_is_left_to_pillow(photos, monkeypatch, kind):
    data = encode(Image.fromarray(photos[0][:40, :40]))
    frame = data.index(b"\xff\xc0") + 1
    changed = data[:frame] + bytes([kind]) + data[frame + 1 :]
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    try:
        expected = as_pillow(changed)
    except OSError:
        assert refused(changed)
    else:
        np.testing.assert_array_equal(to_pixels(changed), expected)


def test_simplejpeg_never_sees_an_image_that_is_too_large(photos, monkeypatch):
    data = encode(Image.fromarray(photos[0]))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    with pytest.raises(DecodeError, match="max_pixels=1,000"):
        to_pixels(data, max_pixels=1000)
    with pytest.raises(DecodeError, match="max_pixels=1,000"):
        to_pixels(data, max_pixels=1000, at_least=8)


def test_a_size_that_the_header_says_twice_is_never_decoded_at_the_other(photos):
    data = encode(Image.fromarray(photos[0][:40, :40]))
    frame = data.index(b"\xff\xc0")
    length = 2 + int.from_bytes(data[frame + 2 : frame + 4])
    large = bytearray(data[frame : frame + length])
    large[5:9] = b"\x60\0\x60\0"
    assert refused(data[:frame] + bytes(large) + data[frame:])
