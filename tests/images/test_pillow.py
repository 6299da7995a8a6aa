"""A file is known by its first bytes, and read as Pillow does where nobody has told it otherwise."""

from __future__ import annotations

import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, PngImagePlugin, TiffImagePlugin

import featx
from featx.images import DecodeError, _pillow, open_header, to_pixels
from tests.networks import tiny_encoder


def encode(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture
def photo(photos) -> Image.Image:
    return Image.fromarray(photos[0]).resize((64, 48))


@pytest.fixture
def files_of_all_formats(photo) -> dict[str, bytes]:
    frames = {"save_all": True, "append_images": [photo.rotate(90)]}
    made = {
        "JPEG": {},
        "JPEG, progressive": {"progressive": True},
        "PNG": {},
        "WEBP": {},
        "WEBP, lossless": {"lossless": True},
        "GIF": frames,
        "BMP": {},
        "TIFF": {},
        "TIFF, packbits": {"compression": "packbits"},
        "TIFF, jpeg": {"compression": "jpeg"},
        "PPM": {},
        "JPEG2000": {},
        "AVIF": {},
    }
    Image.init()  # Pillow before 11.3 has no AVIF
    there = {name: options for name, options in made.items() if name.partition(",")[0] in Image.SAVE}
    return {name: encode(photo, name.partition(",")[0], **options) for name, options in there.items()}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "WEBP", "AVIF"])
def test_a_cut_file_is_refused_though_other_code_asked_pillow_to_pass_over_it(photo, monkeypatch, format):
    Image.init()
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow has no {format}")
    data = encode(photo, format)
    cut = data[: len(data) * 2 // 3]
    try:
        to_pixels(cut)
        pytest.skip(f"a {format} so short is whole")
    except DecodeError:
        pass
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DecodeError):
        to_pixels(cut)
    if format not in ("WEBP", "AVIF"):  # which Pillow itself does not open
        with pytest.raises(DecodeError):
            to_pixels(Image.open(io.BytesIO(cut)))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_damaged_data_are_refused_though_other_code_asked_pillow_to_pass_over_them(photo, monkeypatch):
    data = bytearray(encode(photo, "PNG"))
    data[len(data) // 2] ^= 255
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    Image.open(io.BytesIO(data)).load()
    with pytest.raises(DecodeError):
        to_pixels(bytes(data))


def test_a_row_of_a_cut_file_is_never_cached(photo, tmp_path, monkeypatch):
    file = tmp_path / "cut.png"
    file.write_bytes(encode(photo, "PNG")[:-1000])
    encoder = featx.ImageEncoder(tiny_encoder(), cache=tmp_path / "store")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for truncated in (True, False):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
        with pytest.raises(featx.exceptions.ImageReadError, match="damaged"):
            encoder.transform([str(file)])


def test_other_threads_see_what_they_have_set_while_images_are_read(photo, monkeypatch):
    data = encode(photo, "PNG")
    seen, stop = [], threading.Event()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)

    def watch():
        while not stop.is_set():
            seen.append(bool(ImageFile.LOAD_TRUNCATED_IMAGES))

    def read(i):
        with pytest.raises(DecodeError):
            to_pixels(data[: 200 + i])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(300)))
    finally:
        stop.set()
        watcher.join()
    assert all(seen)
    assert seen
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_what_a_thread_sets_while_images_are_read_stays_set(photo, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    real = PngImagePlugin.PngImageFile._open

    def change(self):
        ImageFile.LOAD_TRUNCATED_IMAGES = "set meanwhile"
        real(self)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "_open", change)
    open_header(encode(photo, "PNG"))
    assert ImageFile.LOAD_TRUNCATED_IMAGES == "set meanwhile"


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (ImageFile, "LOAD_TRUNCATED_IMAGES", True),
        (ImageFile, "MAXBLOCK", 64),
        (ImageFile, "SAFEBLOCK", 64),
        (Image, "MAX_IMAGE_PIXELS", 100),
        (Image, "MAX_IMAGE_PIXELS", None),
        (Image, "WARN_POSSIBLE_FORMATS", True),
        (TiffImagePlugin, "READ_LIBTIFF", True),
        *([(BmpImagePlugin, "USE_RAW_ALPHA", True)] if hasattr(BmpImagePlugin, "USE_RAW_ALPHA") else []),
        (GifImagePlugin, "LOADING_STRATEGY", GifImagePlugin.LoadingStrategy.RGB_ALWAYS),
        (PngImagePlugin, "MAX_TEXT_CHUNK", 1),
        (PngImagePlugin, "MAX_TEXT_MEMORY", 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_no_switch_of_pillows_changes_a_pixel(files_of_all_formats, monkeypatch, module, name, value):
    expected = {format: to_pixels(data) for format, data in files_of_all_formats.items()}
    monkeypatch.setattr(module, name, value)
    for format, data in files_of_all_formats.items():
        np.testing.assert_array_equal(to_pixels(data), expected[format], err_msg=format)
    assert getattr(module, name) == value


@pytest.mark.skipif(not hasattr(BmpImagePlugin, "USE_RAW_ALPHA"), reason="this Pillow has no such switch")
def test_a_bitmaps_alpha_is_read_in_one_way(monkeypatch):
    header = encode(Image.new("RGB", (2, 2)), "BMP")
    data = bytearray(header[:54] + bytes([10, 20, 30, 40] * 4))
    data[28:30] = (32).to_bytes(2, "little")
    expected = to_pixels(bytes(data))
    monkeypatch.setattr(BmpImagePlugin, "USE_RAW_ALPHA", True)
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    np.testing.assert_array_equal(to_pixels(bytes(data)), expected)


def test_a_gifs_first_frame_is_read_in_one_way(monkeypatch):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    data = encode(image, "GIF", transparency=0)
    expected = to_pixels(data)
    monkeypatch.setattr(GifImagePlugin, "LOADING_STRATEGY", GifImagePlugin.LoadingStrategy.RGB_ALWAYS)
    np.testing.assert_array_equal(to_pixels(data), expected)
    assert (Image.open(io.BytesIO(data)).mode, open_header(data).mode) == ("RGBA", "P")


def test_a_plugin_that_took_a_format_over_is_not_asked(files_of_all_formats, monkeypatch):
    expected = {format: to_pixels(data) for format, data in files_of_all_formats.items()}
    Image.init()
    registry = dict.fromkeys(Image.OPEN, (None, None))
    monkeypatch.setattr(Image, "OPEN", registry)
    for format, data in files_of_all_formats.items():
        np.testing.assert_array_equal(to_pixels(data), expected[format], err_msg=format)


def iso(*brands: bytes) -> bytes:
    content = brands[0] + bytes(4) + b"".join(brands[1:])
    return (8 + len(content)).to_bytes(4, "big") + b"ftyp" + content + bytes(40)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (iso(b"isom", b"mp41"), "ISO media file of brand 'isom', such as a video"),
        (iso(b"qt  "), "ISO media file of brand 'qt  '"),
        (iso(b"crx ", b"isom"), "ISO media file of brand 'crx '"),
        (iso(b"avif", b"mif1", b"miaf"), "AVIF"),
        (iso(b"mif1", b"avif", b"miaf"), "AVIF"),
        (iso(b"mif1", b"heic"), "the HEIF header is damaged"),
        (iso(b"heic", b"mif1", b"heic"), "the HEIF header is damaged"),
        (iso(b"mif1"), "the HEIF header is damaged"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x08ftyp", "ISO media file"),
        (b"%PDF-1.7", "not an image"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_a_file_is_is_told_by_its_brands(data, message):
    with pytest.raises(DecodeError, match=message):
        open_header(data)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_heic_photo_is_read_and_turned_once(photo, orientation):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    pillow_heif.from_pillow(photo).save(file, quality=90, exif=exif.tobytes())
    flat = io.BytesIO()
    pillow_heif.from_pillow(photo).save(flat, quality=90)
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    upright = np.rot90(np.asarray(to_pixels(flat.getvalue()), int), turns)
    assert np.abs(np.asarray(to_pixels(file.getvalue()), int) - upright).mean() < 3
    assert np.abs(np.asarray(to_pixels(flat.getvalue()), int) - np.asarray(photo, int)).mean() < 8
    assert open_header(file.getvalue()).format == "HEIF"


def test_a_heic_photo_has_one_set_of_pixels_either_way(photo):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(photo.resize((640, 480))).save(file, quality=90)
    assert to_pixels(file.getvalue(), at_least=100).size == (640, 480)


def test_reading_heic_leaves_the_users_pillow_as_it_is(photo):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(photo).save(file)
    to_pixels(file.getvalue())
    Image.init()
    assert "HEIF" not in Image.OPEN


def test_heic_without_its_package_names_the_extra(photo, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DecodeError, match=r"pip install 'featx\[heif\]'"):
        to_pixels(iso(b"heic"))


def test_a_pillow_without_a_formats_plugin_says_so(photo, monkeypatch):
    data = encode(photo, "PNG")
    monkeypatch.setitem(sys.modules, "PIL.PngImagePlugin", None)
    with pytest.raises(DecodeError, match="the installed Pillow does not read PNG; install a newer one"):
        to_pixels(data)


def test_a_pillow_without_one_of_the_switches_reads_as_well(files_of_all_formats, monkeypatch):
    monkeypatch.delattr(BmpImagePlugin, "USE_RAW_ALPHA", raising=False)
    for format, data in files_of_all_formats.items():
        if format != "BMP":  # whose plugin asks for it
            _pillow._switches.cache_clear()
            assert to_pixels(data).mode == "RGB"
    _pillow._switches.cache_clear()


def test_a_row_that_is_known_is_given_whatever_max_pixels_says(photo, tmp_path):
    file = tmp_path / "photo.png"
    photo.save(file)
    strict = featx.ImageEncoder(tiny_encoder(), cache=tmp_path / "store", max_pixels=100)
    with pytest.raises(featx.exceptions.ImageReadError, match="max_pixels=100"):
        strict.transform([str(file)])
    row = featx.ImageEncoder(tiny_encoder(), cache=tmp_path / "store").transform([str(file)])
    np.testing.assert_array_equal(strict.transform([str(file)]), row)
