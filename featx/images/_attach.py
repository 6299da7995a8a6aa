"""attach_images: the images of a folder whose names hold a row's key, as a cell of that row."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from featx._warnings import warn
from featx.exceptions import ImageWarning, InputError, ParameterError, UnknownNameError
from featx.images._cell import is_missing
from featx.images._files import list_folder, warn_left_out
from featx.images._frame import columns_of

_SHOWN = 5


def attach_images(table: Any, folder: str | Path, *, key: str, pattern: str, column: str = "image") -> Any:
    """Add a column of lists of images to a table, found by the names of their files.

    Parameters
    ----------
    table : DataFrame
        Of pandas or polars.
    folder : str or Path
        Where the images are, in folders below it too.
    key : str
        The column whose values are in the names. Several rows may have one value, and then have the same images.
    pattern : str
        The path of an image below the folder, with the key in braces and ``*`` and ``?`` as in a shell:
        ``"{sku}_*.jpg"``, ``"{sku}/*"``. A file that fits several keys, as ``a_b_1.jpg`` does with ``a`` and ``a_b``,
        is of the longest.
    column : str, default="image"
        The name of the new column.

    Returns
    -------
    DataFrame
        A copy of the table with the column: lists of paths, in sorted order, None where there is no image.

    Raises
    ------
    UnknownNameError
        If there is no such key.
    ParameterError
        If the pattern lacks it, or the table has the column already.
    InputError
        If the table is no frame, there is no such folder, or no file in it fits.

    Warns
    -----
    ImageWarning
        If rows have no image, or images no row.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import featx
    >>> import pandas as pd
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("7_front.jpg", "7_back.jpg", "8_front.jpg"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> table = featx.attach_images(pd.DataFrame({"sku": [7, 8]}), folder, key="sku", pattern="{sku}_*.jpg")
    >>> [[Path(path).name for path in paths] for paths in table["image"]]
    [['7_back.jpg', '7_front.jpg'], ['8_front.jpg']]
    """
    names = list(map(str, columns_of(table)))
    if key not in table.columns:
        raise UnknownNameError("column", key, names)
    if column in names:
        raise ParameterError(f"Got column={column!r}, which the table has. Expected another name.")
    before, hole, after = pattern.partition(f"{{{key}}}")
    if not hole or f"{{{key}}}" in after:
        raise ParameterError(f"Got pattern={pattern!r}. Expected it to hold {{{key}}} once, as in '{{{key}}}_*.jpg'.")
    root = Path(folder).expanduser()
    files, left_out = list_folder(root)
    warn_left_out(left_out)
    keys = [_text(value) for value in table[key]]
    match = _Matcher(before, after, {text for text in keys if text is not None})
    found: dict[str, list[str]] = {}
    strangers = []
    for file in sorted(files):
        name = match(Path(file).relative_to(root).as_posix())
        if name is None:
            strangers.append(file)
        else:
            found.setdefault(name, []).append(str(file))
    if not found:
        raise InputError(
            f"None of {len(files):,} images in {root} fits {pattern!r} with a {key} of the table. "
            f"For example: {files[0]}."
        )
    cells = [found.get(text) if text is not None else None for text in keys]
    _warn(cells, list(table[key]), strangers)
    return _with_column(table, column, cells)


class _Matcher:
    """Which key the path of a file has; the longest of several."""

    def __init__(self, before: str, after: str, keys: set[str]):
        self._before = re.compile(_regex(before))
        self._after = re.compile(_regex(after))
        self._keys = keys
        self._lengths = sorted({len(key) for key in keys}, reverse=True)
        # Where a key may begin, unless anything may come before it.
        self._start = len(before) if not re.search(r"[*?]", before) else None

    def __call__(self, path: str) -> str | None:
        for length in self._lengths:
            starts = range(len(path) - length + 1) if self._start is None else [self._start]
            for start in starts:
                end = start + length
                key = path[start:end]
                if key in self._keys and self._before.fullmatch(path, 0, start) and self._after.fullmatch(path, end):
                    return key
        return None


def _regex(glob: str) -> str:
    """Translate a shell's pattern; ``*`` and ``?`` stay within a folder's name, ``**/`` goes through folders."""
    wild = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part) or re.escape(part) for part in re.split(r"(\*\*/|\*|\?)", glob))


def _text(value: Any) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))  # whole numbers beside missing ones
    return str(value)


def _warn(cells: list[Any], keys: list[Hashable], strangers: list[Any]) -> None:
    without = [str(key) for cell, key in zip(cells, keys, strict=True) if cell is None]
    texts = []
    if without:
        texts.append(f"{len(without):,} of {len(cells):,} rows have no image: {_some(without)}")
    if strangers:
        texts.append(f"{len(strangers):,} images are of no row: {_some([Path(file).name for file in strangers])}")
    if texts:
        warn(". ".join(texts) + ".", ImageWarning)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _with_column(table: Any, column: str, cells: list[Any]) -> Any:
    if hasattr(table, "with_columns"):  # polars
        import polars as pl

        return table.with_columns(pl.Series(column, cells, dtype=pl.List(pl.String)))
    import pandas as pd

    return table.assign(**{column: pd.Series(cells, index=table.index, dtype=object)})
