"""Folders -> the image files in them, and the files that look like images but are left out, with the reason.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .._warnings import warn
from ..exceptions import ImageWarning, InputError
from ._pillow import DecodeError, identify

# Files of these names are images by their name alone, and are not opened.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".avif", ".heic", ".heif"}
    | {".hif"}
)
# What systems and network drives keep for themselves, beside names that begin with a dot.
HOUSEKEEPING = frozenset(
    {"@eadir", "@recycle", "@synoresource", "@__thumb", "#recycle", "#snapshot", "__macosx", "lost+found"}
    | {"$recycle.bin", "system volume information", "thumbs.db", "desktop.ini", "__pycache__"}
)
_RAW = frozenset(
    {".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".orf", ".pef", ".raf", ".rw2", ".rwl"}
    | {".srw", ".x3f", ".3fr", ".fff", ".iiq", ".kdc", ".dcr", ".erf", ".mef", ".mos", ".gpr"}
)
_HEAD_BYTES = 256
_SHOWN = 5


def list_images(folder: str | Path) -> tuple[list[str], dict[str, str]]:
    r"""List the image files below a folder, in sorted order, files before folders.

    Files with an image's suffix are listed unopened. Of every other file the first bytes are read: an image without a
    suffix is listed; an image with another suffix (``x.jpg.1``, ``.JPG_original``) and an image of a format that cannot
    be read are left out.

    Parameters
    ----------
    folder : str or Path
        Links are followed; names that begin with a dot and the housekeeping of systems are passed over.

    Returns
    -------
    images : list of str
        Their paths.
    left_out : dict of str to str
        Path -> why it is left out.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featx.images._files import list_images
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.jpg", "a.jpg.1"):
    ...     _ = (folder / name).write_bytes(b"\xff\xd8\xff\xe0")
    >>> images, left_out = list_images(folder)
    >>> [Path(image).name for image in images], list(left_out.values())
    (['a.jpg'], ["a backup or a variant of an image (suffix '.1')"])
    """
    return _sort_out(_scan(os.fspath(folder)))


def list_folder(root: Path, expected: str = "Expected a folder of images.") -> tuple[list[str], dict[str, str]]:
    """List the images of a folder as `list_images` does; a folder without any is refused."""
    if not root.is_dir():
        raise InputError(f"{root.absolute()} is {'a file' if root.exists() else 'not there'}. {expected}")
    images, left_out = list_images(root)
    if not images:
        beside = f", but {describe_left_out(left_out)}" if left_out else ""
        raise InputError(f"{root.absolute()} holds no images ({', '.join(sorted(SUFFIXES))}){beside}.")
    return images, left_out


def find_images(sources: Sequence[str | Path]) -> tuple[list[str], dict[str, str]]:
    """List the image files of folders, nested ones too, and of files; each once.

    Parameters
    ----------
    sources : sequence of str or Path
        Folders, of which images are taken as `read_image_folder` does, and files, which are taken as they are.

    Returns
    -------
    images : list of str
        Their paths.
    left_out : dict of str to str
        The files of these folders that look like images and are left out, with the reason.

    Raises
    ------
    InputError
        If a source is not there, or a folder holds no images.
    """
    return _sort_out(scan_images(sources))


def scan_images(sources: Sequence[str | Path]) -> Iterator[tuple[str, str]]:
    """Find what `find_images` lists, one by one: in memory are the names of one folder, and of those above it.

    Parameters
    ----------
    sources : sequence of str or Path
        As for `find_images`.

    Returns
    -------
    iterator of (str, str)
        A path, and why it is left out: "" of an image.

    Raises
    ------
    InputError
        At once, if a source is not there, or a folder holds no images.
    """
    paths = [Path(source).expanduser() for source in sources]
    named = {os.fspath(path) for path in paths if path.exists() and not path.is_dir()}
    for path in paths:
        if os.fspath(path) not in named and not (path.is_dir() and _holds_images(path)):
            list_folder(path, "Expected a folder of images, or image files.")
    return _scan_all([os.fspath(path) for path in paths], named)


def _scan_all(sources: Sequence[str], named: set[str]) -> Iterator[tuple[str, str]]:
    before: tuple[str, ...] = ()  # the folders that were scanned
    for source in dict.fromkeys(sources):
        if source in named:
            yield source, ""
            continue
        for path, reason in _scan(source):
            if path not in named and not path.startswith(before):
                yield path, reason
        before += (os.path.join(source, ""),)


def _holds_images(folder: Path) -> bool:
    return any(not reason for _, reason in _scan(os.fspath(folder)))


def _sort_out(found: Iterable[tuple[str, str]]) -> tuple[list[str], dict[str, str]]:
    images: list[str] = []
    left_out: dict[str, str] = {}
    for path, reason in found:
        if reason:
            left_out[path] = reason
        else:
            images.append(path)
    return images, left_out


def warn_left_out(left_out: Mapping[str, str]) -> None:
    """Warn once of the files that are left out, if there are any."""
    if left_out:
        warn(
            f"Left out {describe_left_out(left_out)}. Rename those that are meant, or name them one by one.",
            ImageWarning,
        )


def describe_left_out(left_out: Mapping[str, str]) -> str:
    """Name the first files that are left out, with their reasons."""
    shown = [f"{path!r}: {reason}" for path, reason in list(left_out.items())[:_SHOWN]]
    more = [f"and {len(left_out) - _SHOWN:,} more"] if len(left_out) > _SHOWN else []
    return f"{len(left_out):,} files that look like images ({'; '.join([*shown, *more])})"


def _scan(folder: str) -> Iterator[tuple[str, str]]:
    """Find what looks like an image below a folder: its path, and why it is left out ("" of an image)."""
    for path in _files(folder):
        suffix = os.path.splitext(path)[1]
        reason = "" if suffix.lower() in SUFFIXES else _why_left_out(path, suffix)
        if reason is not None:
            yield path, reason


def _files(folder: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name.lower() in HOUSEKEEPING:
                continue
            # A link that leads nowhere keeps its name, and its row in the table has the reason.
            if entry.is_file() or (not entry.is_dir() and os.path.splitext(name)[1].lower() in SUFFIXES):
                files.append(name)
            elif entry.is_dir():
                folders.append(name)
    for name in sorted(files):
        yield os.path.join(folder, name)
    for name in sorted(folders):
        yield from _files(os.path.join(folder, name), above | {real})


def _why_left_out(path: str, suffix: str) -> str | None:
    """Give the reason; "" for an image that is taken, None for another kind of file."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    kind, readable = _sniff(head)
    if kind is None:
        return None
    if kind == "TIFF" and suffix.lower() in _RAW:
        kind, readable = "camera raw", False
    if not readable:
        return f"an image of a format that cannot be read ({kind})"
    return f"a backup or a variant of an image (suffix {suffix!r})" if suffix else ""


# Formats that featx does not read, by their first bytes.
_UNREAD = {
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"8BPS\x00": "Photoshop",
    b"gimp xcf ": "GIMP",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"%!PS-Adobe": "PostScript",
    b"AT&TFORM": "DjVu",
    b"II\xbc\x01": "JPEG XR",
    b"DDS |\x00\x00\x00": "DDS",
    b"\x00\x00\x01\x00": "icon",
    b"icns": "icon",
    b"SIMPLE  =": "FITS",
    b"FUJIFILMCCD-RAW": "camera raw",
    b"IIRO\x08": "camera raw",
    b"IIRS\x08": "camera raw",
    b"IIU\x00": "camera raw",
    b"FOVb": "camera raw",
}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_PNM = re.compile(rb"P[1-6]\s+[#0-9]")


def _sniff(head: bytes) -> tuple[str | None, bool]:
    """Name the image format of a file by its first bytes, and say whether it can be read; None: no image."""
    if unread := next((kind for magic, kind in _UNREAD.items() if head.startswith(magic)), None):
        return unread, False
    if head[4:12] == b"ftypcrx ":
        return "camera raw", False
    if head[128:132] == b"DICM":
        return "DICOM", False
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "SVG", False
    try:
        kind = identify(head)
    except DecodeError:
        return None, False
    # Two letters make no image: a text may begin with them.
    if kind == "BMP" and int.from_bytes(head[14:18], "little") not in _BMP_HEADERS:
        return None, False
    if kind == "PPM" and not _PNM.match(head):
        return None, False
    return kind, True
