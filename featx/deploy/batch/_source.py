"""The rows of a job, one by one: the images of folders, or the lines of a table of text.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from ...exceptions import InputError, UnknownNameError
from ...images._cell import is_data_uri, location_of
from ...images._files import scan_images, warn_left_out
from .._columns import NULL

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# What pandas takes for a missing value: tables are read here as those were that a pipeline was fitted on.
_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
_BOOLS = {"true": True, "false": False}


@dataclass
class Row:
    """One row to answer.

    Attributes
    ----------
    image : str
        Its name in the answers: the path of its image; "" where it has none.
    cells : object
        What its answer is made of: for a bundle a dict of its inputs.
    problem : str
        Why it cannot be answered, if that is known already.
    """

    image: str
    cells: Any
    problem: str = ""


@dataclass
class Rows:
    """The rows of a job, in an order that is always the same.

    Attributes
    ----------
    read : callable
        Begins to read them, each time from the first.
    gather : callable
        Makes of the cells of some rows what a model takes.
    state : dict of plain data
        By what a change of the input is noticed, beside the names of its images.
    """

    read: Callable[[], Iterator[Row]]
    gather: Callable[[list[Any]], Any]
    state: dict[str, Any]

    def __iter__(self) -> Iterator[Row]:
        return self.read()


def folder_rows(sources: Sequence[str | Path]) -> Rows:
    """Read the images of folders, nested ones too, and of files; warn once of files that are left out.

    Parameters
    ----------
    sources : sequence of str or Path
        As for `scan_images`.

    Raises
    ------
    InputError
        If a source is not there, or a folder holds no images.
    """
    scan_images(sources)  # which raises
    warned = False

    def read() -> Iterator[Row]:
        nonlocal warned
        left_out = {}
        for path, reason in scan_images(sources):
            if reason:
                left_out[path] = reason
            else:
                yield Row(path, path)
        if not warned:
            warn_left_out(left_out)
            warned = True

    return Rows(read, list, {})


def is_text_table(name: str | Path) -> bool:
    """Whether a name is that of a table that `table_rows` reads: of values separated by commas or tabs."""
    return _kind_of(name)[0] is not None and not os.path.isdir(name)


def table_rows(
    file: str | Path,
    inputs: Sequence[Mapping[str, Any]],
    image: str | None = None,
    root: str | Path | None = None,
    locate: Callable[[str], Any] | None = None,
) -> Rows:
    """Read the lines of a table as pandas would, but one by one.

    Parameters
    ----------
    file : str or Path
        A .csv, .tsv or .tab, which may be compressed: .gz, .bz2, .xz. Its first line names the columns.
    inputs : sequence of mapping
        A bundle's inputs: ``name`` and ``kind`` of each.
    image : str, default=None
        The column of images, where it has another name than the bundle's first input of that kind.
    root : str or Path, default=None
        Below which relative paths lie; None is the table's folder.
    locate : callable, default=None
        Finds what the text of a cell stands for, instead of a path below `root`.

    Raises
    ------
    InputError
        If it cannot be read, or lacks a column.
    UnknownNameError
        If there is no such column of images.
    """
    file = Path(file).expanduser()
    folder = os.path.dirname(os.path.abspath(file)) if root is None else os.path.expanduser(root)
    locate = locate or partial(_join, folder)
    first = next(entry["name"] for entry in inputs if entry["kind"] == "image")
    columns = {entry["name"]: (image or first) if entry["name"] == first else entry["name"] for entry in inputs}
    header = next(_records(file), (1, []))[1]
    if columns[first] not in header:
        _check_header(file, header)
        raise UnknownNameError("column", columns[first], header)
    if absent := [column for column in columns.values() if column not in header]:
        raise InputError(f"Got {file} with the columns {header}. Expected also {', '.join(map(repr, absent))}.")
    readers = [(entry["name"], header.index(columns[entry["name"]]), _reader_of(entry, locate)) for entry in inputs]

    def read() -> Iterator[Row]:
        records = _records(file)
        next(records)
        for line, record in records:
            if len(record) != len(header):
                yield Row("", {}, f"line {line}: {len(record)} fields; expected {len(header)}")
                continue
            cells = {name: convert(record[i]) for name, i, convert in readers}
            yield Row(location_of(cells[first]) or "", cells)

    def gather(cells: list[dict[str, Any]]) -> dict[str, list[Any]]:
        return {name: [row[name] for row in cells] for name in columns}

    return Rows(read, gather, {"table": state_of(file), "columns": columns})


def _check_header(file: Path, header: Sequence[str]) -> None:
    """Refuse a table that is no table of this kind, whose first line lacks a column for that reason."""
    if not header:
        raise InputError(f"Got {file}, which is empty. Expected a first line of the columns' names, and then the rows.")
    text = "".join(header)
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"Got {file}, whose first line is no text in UTF-8. Expected a table in UTF-8.")
    used = _kind_of(file)[0]
    other = next((mark for mark in ";\t,|" if len(header) == 1 and mark in text and mark != used), None)
    if other:
        raise InputError(f"Got {file}, whose columns are separated by {other!r}. Expected {used!r}.")


def state_of(file: str | Path) -> list[Any]:
    """Tell by what a change of a table is noticed; of one that is no single file here, its name alone."""
    try:
        status = os.stat(file)
    except OSError:
        return [str(file)]
    return [os.path.abspath(file), status.st_size, status.st_mtime_ns]


def _kind_of(name: str | Path) -> tuple[str | None, Callable[..., Any]]:
    """Return the separator of a table, None if it is none of text, and what opens it."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    opener = _OPENERS.get(suffixes[-1]) if suffixes else None
    kind = suffixes[-2:-1] if opener else suffixes[-1:]
    return _SEPARATORS.get("".join(kind)), opener or open


def _records(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Read the records of a table, with the line that each ends on; empty lines are none."""
    separator, opener = _kind_of(file)
    try:
        # As the shell gives them, names may be of other bytes than UTF-8.
        with opener(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
            yield from _parse(opened, separator or ",")
    except (OSError, EOFError, csv.Error, lzma.LZMAError) as error:
        raise InputError(f"Got {file}, which cannot be read as a table: {error}.") from error


def _parse(opened: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(opened, delimiter=separator)
    for record in reader:
        if record:
            yield reader.line_num, record


def _reader_of(entry: Mapping[str, Any], locate: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return what makes a value of the text of a field."""
    if entry["kind"] == "image":
        return lambda text: "" if text in _MISSING else locate(text)
    if entry["kind"] == "category":
        return lambda text: NULL if text in _MISSING and text not in (entry.get("known") or ()) else text
    return _number


def _join(folder: str, text: str) -> str:
    return text if is_data_uri(text) or _URL.match(text) else os.path.join(folder, text)


def _number(text: str) -> Any:
    """Make a number of text as pandas does; what is none stays text, which its row's error then shows."""
    if text in _MISSING:
        return float("nan")
    for kind in (int, float) if "_" not in text else ():  # Python's own way to write 1_000
        try:
            return kind(text)
        except ValueError:
            continue
    return _BOOLS.get(text.lower(), text)
