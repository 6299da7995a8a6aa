"""Folders of images: read as a table, and checked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx._threads import count_threads
from featx.exceptions import InputError, ParameterError
from featx.images import (
    MAX_PIXELS,
    DecodeError,
    as_column,
    is_missing,
    is_path,
    load,
    note_on,
    open_header,
    read_file,
)

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
    | {".pnm", ".jp2", ".avif"}
)
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_image_folder(path: str | Path, *, label: str | None = "parent", split: str | None = "auto") -> pd.DataFrame:
    """List the images of a folder, with their labels.

    Parameters
    ----------
    path : str or Path
        A folder of ``<label>/...``, or of ``{train,val,test}/<label>/...``.
        Files without an image's suffix and hidden ones are passed over; links
        are followed, files are not opened.
    label : {"parent"} or None, default="parent"
        ``"parent"``: the first folder below `path` (or below the split) that
        the image lies in. None: no label column.
    split : {"auto"} or None, default="auto"
        ``"auto"``: where every folder directly below `path` is named train,
        val (valid, validation) or test, these are splits. None: never.

    Returns
    -------
    pandas.DataFrame
        Columns image (str), label, and split where there is one; in sorted order.

    Raises
    ------
    InputError
        If there is no such folder, it holds no images, or an image lies outside of a label's folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import featx
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("RGB", (8, 8)).save(folder / name / "1.png")
    >>> featx.read_image_folder(folder)["label"].tolist()
    ['cat', 'dog']
    """
    import pandas as pd

    if label not in ("parent", None):
        raise ParameterError(f"Got label={label!r}. Expected 'parent' or None.")
    if split not in ("auto", None):
        raise ParameterError(f"Got split={split!r}. Expected 'auto' or None.")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InputError(
            f"{root.absolute()} is {'a file' if root.exists() else 'not there'}. Expected a folder of images."
        )
    found = [Path(file).relative_to(root).parts for file in _image_files(os.fspath(root))]
    if not found:
        raise InputError(f"{root.absolute()} holds no images ({', '.join(sorted(SUFFIXES))}).")
    split_below = split == "auto" and all(len(parts) > 1 and parts[0].lower() in SPLITS for parts in found)
    columns: dict[str, list[Any]] = {"image": [os.path.join(root, *parts) for parts in found]}
    if label is not None:
        columns["label"] = [_label(parts[split_below:], root, parts) for parts in found]
    if split_below:
        columns["split"] = [SPLITS[parts[0].lower()] for parts in found]
    try:
        return pd.DataFrame(columns)
    except UnicodeEncodeError:  # a name that is not UTF-8, which pandas' str cannot hold
        return pd.DataFrame(columns, dtype=object)


def find_images(sources: Sequence[str | Path]) -> list[str]:
    """List the image files of folders, nested ones too, and of files; each once.

    Parameters
    ----------
    sources : sequence of str or Path
        Folders, of which files with an image's suffix are taken, and files, which are taken as they are.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If a source is not there, or a folder holds no images.
    """
    return list(dict.fromkeys(file for source in sources for file in _files_of(Path(source).expanduser())))


def check_images(images: Any, *, max_pixels: int = MAX_PIXELS, n_jobs: int | None = None) -> pd.DataFrame:
    """Decode every image, and say which ones cannot be used and why.

    Parameters
    ----------
    images : container of images
        As for `ImageEncoder`.
    max_pixels : int, default=89_000_000
        Larger images are refused.
    n_jobs : int, default=None
        Threads; None and -1 are all processors, -2 all but one.

    Returns
    -------
    pandas.DataFrame
        Columns image, ok, error ("" where it is ok), format, mode, width,
        height, digest (hex; equal for equal content), note (what is odd about
        an image that is ok: it is blank, all of one color, or so dark that it
        may be 12-bit data in 16 bits; "" elsewhere); the index is that of
        `images`. Width and height are those of the upright image.

    Examples
    --------
    >>> import featx
    >>> featx.check_images(["nowhere.jpg"])["error"].tolist()
    ['no such file']
    """
    import pandas as pd

    column = as_column(images)
    with ThreadPoolExecutor(count_threads(n_jobs)) as pool:
        records = list(pool.map(lambda source: _check(source, max_pixels), column.sources))
    columns = ["ok", "error", "format", "mode", "width", "height", "digest", "note"]
    table = pd.DataFrame(records, columns=columns, index=column.index)
    table.insert(0, "image", pd.Series(list(column.sources), table.index, dtype=object))
    return table.astype({"ok": bool, "width": "Int64", "height": "Int64"})


def _files_of(source: Path) -> list[str]:
    if source.is_dir():
        return read_image_folder(source, label=None, split=None)["image"].tolist()
    if not source.exists():
        raise InputError(f"{source.absolute()} is not there. Expected a folder of images, or image files.")
    return [os.fspath(source)]


def _check(source: Any, max_pixels: int) -> tuple:
    if is_missing(source):
        return False, f"missing ({source!r})", None, None, None, None, None, ""
    header = (None, None, None, None)
    try:
        data = read_file(source) if is_path(source) else source
        image = open_header(data) if isinstance(data, bytes) else None
        if image is not None:
            header = (image.format, image.mode, *image.size)
        digest, rgb = load(data, max_pixels)
    except DecodeError as error:
        return False, str(error), *header, None, ""
    return True, "", header[0], header[1] or getattr(source, "mode", None), *rgb.size, digest.hex(), note_on(rgb)


def _image_files(folder: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    with os.scandir(folder) as entries:
        shown = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in shown:
        if not entry.is_dir() and os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield entry.path
    for entry in shown:
        if entry.is_dir():
            yield from _image_files(entry.path, above | {real})


def _label(parts: tuple[str, ...], root: Path, whole: tuple[str, ...]) -> str:
    if len(parts) < 2:
        raise InputError(
            f"{root.joinpath(*whole)} lies in no label's folder. Expected {root}/<label>/image.jpg; "
            "with label=None images need no label."
        )
    return parts[0]
