"""Tables of images (CSV, Parquet, tar archives, datasets) -> the frame that a folder of images gives."""

from __future__ import annotations

import glob
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx._optional import import_optional
from featx.exceptions import InputError, MissingDependencyError, ParameterError, UnknownNameError
from featx.images._accept import as_column, column_names
from featx.images._archive import TarImage, list_parquet, list_tar
from featx.images._cell import is_missing
from featx.images._columns import library_of
from featx.images._doors import Doors, file_path
from featx.images._files import SUFFIXES
from featx.images._frame import columns_of

if TYPE_CHECKING:
    import pandas as pd

IMAGE, LABEL, SPLIT = "image", "label", "split"
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")
_PARQUET = (".parquet", ".pq")
_KINDS = (*_SEPARATORS, *_PARQUET, ".tar")


def read_image_table(
    table: Any,
    *,
    image: str | None = None,
    label: str | None = None,
    root: str | Path | None = None,
) -> pd.DataFrame:
    r"""Read a table with a column of images, as `read_image_folder` reads a folder.

    Parameters
    ----------
    table : str, Path, sequence of them, dataset or frame
        A file of comma- or tab-separated values (``.csv``, ``.tsv``), of Parquet, or a tar archive in the form of
        WebDataset, or several of one kind, also as a pattern: ``"shard-*.tar"``. Or a dataset of Hugging Face, or a
        dict of them by split, or a frame of pandas or polars. Images in Parquet, in archives and in datasets stay
        where they are, and are read when they are needed.
    image : str, default=None
        The column of images: paths, URLs, bytes, or dicts of bytes and path. None is ``"image"``; in an archive the
        one member of each sample that has an image's suffix, such as ``"jpg"``.
    label : str, default=None
        The column of labels; in an archive a member, such as ``"cls"``, or a key of its ``json``. None: no labels.
    root : str or Path, default=None
        Below which relative paths lie; None is the folder of the file.

    Returns
    -------
    pandas.DataFrame
        Columns image, label if there is one, split if there are splits, then all others, under their names.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    InputError
        If the file cannot be read, or holds two columns that would have one name.
    MissingDependencyError
        If a package that reads the format is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import featx
    >>> file = Path(tempfile.mkdtemp()) / "products.csv"
    >>> _ = file.write_text("sku,photo,price\n1,a.jpg,9.5\n2,b.jpg,3\n")
    >>> products = featx.read_image_table(file, image="photo", label="price")
    >>> products["label"].tolist(), [Path(path).name for path in products["image"]]
    ([9.5, 3.0], ['a.jpg', 'b.jpg'])
    """
    frame, name = open_table(table, image, label, root)
    if label is not None and label not in frame.columns:
        raise UnknownNameError("column", label, list(map(str, frame.columns)))
    if label == name:
        raise ParameterError(f"Got image={name!r} and label={label!r}. Expected two columns.")
    names = {name: IMAGE} | ({} if label is None else {label: LABEL})
    for old, new in names.items():
        if new != old and new in frame.columns and new not in names:
            raise InputError(f"Got a column {new!r} beside {old!r}, which would be named so. Rename or drop it first.")
    first = [column for column in (name, label, SPLIT) if column in frame.columns]
    rest = [column for column in frame.columns if column not in first]
    return frame[[*first, *rest]].rename(columns=names)


def open_table(
    table: Any, image: str | Sequence[str] | None = None, label: str | None = None, root: str | Path | None = None
) -> tuple[pd.DataFrame, str]:
    """Read a table once, as it is, but for its paths, which begin at the root; and tell which column has the images.

    Parameters
    ----------
    table, label, root
        As for `read_image_table`.
    image : str or sequence of str, default=None
        As for `read_image_table`; or several columns, of which the first is told.

    Raises
    ------
    UnknownNameError
        If there is no such column of images.
    InputError, MissingDependencyError
        As for `read_image_table`.
    """
    given = IMAGE if image is None else image
    names: list[str] = list(given) if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]
    if not all(isinstance(name, str) for name in names):
        raise ParameterError(f"Got image={image!r}. Expected the name of a column.")
    reading = _Reading(names, label, root, find_image=image is None)
    return reading.read(table), names[0]


@dataclass(frozen=True)
class _Reading:
    """What is wanted of a table: its columns of images, the label; an archive's image may be found by its suffix."""

    names: Sequence[str]
    label: str | None
    root: str | Path | None
    find_image: bool

    def read(self, table: Any) -> pd.DataFrame:
        """Read it, and see where its images are."""
        import pandas as pd

        if isinstance(table, Mapping):
            parts = [self.read(part).assign(**{SPLIT: split}) for split, part in table.items()]
            return pd.concat(parts, ignore_index=True)
        if not isinstance(table, pd.DataFrame) and library_of(table) not in _LIBRARIES:
            return self._read_files(_files(table))
        return self._locate(_as_pandas(table, self.names), self.root)

    def _read_files(self, files: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        kinds = {_suffix(file) for file in files}
        if len(kinds) > 1:
            raise InputError(f"Got files of several kinds: {', '.join(sorted(kinds))}. Expected one kind.")
        if not kinds <= set(_KINDS):
            raise InputError(f"Got {files[0]}. Expected a file that ends in {', '.join(_KINDS)}, a dataset or a frame.")
        # Paths of each file are relative to it.
        parts = [self._locate(self._read_file(file), self.root or _folder_of(file)) for file in files]
        return pd.concat(parts, ignore_index=True)

    def _read_file(self, file: str) -> pd.DataFrame:
        kind = _suffix(file)
        if kind == ".tar":
            return _read_archive(file, self.names, self.label, find_image=self.find_image)
        if kind in _PARQUET:
            return _read_parquet(file, self.names)
        return _read_csv(file, _SEPARATORS[kind], self.names)

    def _locate(self, frame: pd.DataFrame, root: str | Path | None) -> pd.DataFrame:
        """Replace paths by what they lead to."""
        doors = Doors(root=root, allow_http=True)
        columns = columns_of(frame)
        for name in self.names:
            if name not in columns:
                raise UnknownNameError("column", name, list(map(str, columns)))
            frame[name] = _objects(_located(cell, doors) for cell in frame[name])
        return frame


_LIBRARIES = ("polars", "pyarrow", "datasets")


def _as_pandas(table: Any, names: Sequence[str]) -> pd.DataFrame:
    """Make a new frame; images stay where they are."""
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table.copy()
    if library_of(table) == "datasets":
        return _read_dataset(table, names)
    if not hasattr(table, "to_pandas"):
        raise InputError(f"Got a {type(table).__name__}. Expected a frame that is there: table.collect(), for example.")
    columns = {name: _objects(as_column(table[name]).sources) for name in names if name in column_names(table)}
    others = [name for name in column_names(table) if name not in names]
    return table.select(others).to_pandas().assign(**columns)


def _files(table: Any) -> list[str]:
    if isinstance(table, str | Path):
        file = _expanded(table)
        found = [file] if _is_there(file) else sorted(glob.glob(file)) or [file]
    elif table and isinstance(table, Sequence) and all(isinstance(file, str | Path) for file in table):
        found = list(map(_expanded, table))
    else:
        raise InputError(f"Got a {type(table).__name__}. Expected a file, several, a dataset or a frame.")
    if missing := [file for file in found if not _is_there(file)]:
        raise InputError(f"Got {missing[0]}, which is no file. Expected a table of images.")
    return found


def _expanded(file: str | Path) -> str:
    text = os.path.expanduser(file)
    return file_path(text) or text


def _is_there(file: str) -> bool:
    return "://" in file or os.path.isfile(file)


def is_table_name(name: str | Path) -> bool:
    """Whether a name is that of a table that `read_image_table` reads, and not of a folder."""
    return _suffix(str(name)) in _KINDS and not os.path.isdir(name)


def _suffix(file: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(file).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS and len(suffixes) > 1 and suffixes[-2] in _SEPARATORS:
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def _folder_of(file: str) -> str:
    return file.rpartition("/")[0] if "://" in file else os.path.dirname(os.path.abspath(file))


def _located(cell: Any, doors: Doors) -> Any:
    """Find where a path leads, as text where it can be one: URLs stay URLs."""
    found = doors.open(cell)
    return str(found) if isinstance(cell, str) and not isinstance(found, str) else found


def _objects(cells: Iterable[Any]) -> Any:
    import numpy as np

    cells = list(cells)
    column: np.ndarray = np.empty(len(cells), object)
    column[:] = cells
    return column


def _read_csv(file: str, separator: str, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # Of rows that are longer than the first line pandas would drop the end, or take the first cell as index.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # 0017 may be the name of a file.
            return pd.read_csv(file, sep=separator, index_col=False, dtype=dict.fromkeys(names, "str"))
    except ImportError as error:
        raise MissingDependencyError(f"Reading {file} needs a package that is not installed: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"Got {file}, which is no file. Expected a table of images.") from error
    except Exception as error:  # empty, not UTF-8, rows of different lengths; of object stores nearly anything
        raise InputError(f"Got {file}, which cannot be read as a table: {error}") from error


def _read_parquet(file: str, names: Sequence[str]) -> pd.DataFrame:
    parquet = import_optional("pyarrow.parquet", extra="cli", purpose="Reading Parquet")
    try:
        with parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            images = [name for name in names if name in schema.names and _is_image(schema.field(name).type)]
            others = [column for column in schema.names if column not in images]
            frame = opened.read(columns=others).to_pandas(ignore_metadata=True)
    except (ValueError, OSError) as error:
        raise InputError(f"Got {file}, which cannot be read as Parquet: {error}") from error
    for name in images:
        frame[name] = _objects(list_parquet(_here(file), name))
    return frame


def _here(file: str) -> str:
    if "://" in file:
        raise InputError(f"Got {file}, whose images are read one by one. Expected a file of this machine: download it.")
    return os.path.abspath(file)


def _is_image(kind: Any) -> bool:
    return str(kind).startswith(("binary", "large_binary", "struct"))


def _read_dataset(dataset: Any, names: Sequence[str]) -> pd.DataFrame:
    if not hasattr(dataset, "select_columns") or not hasattr(dataset, "__len__"):
        raise InputError(f"Got a {type(dataset).__name__}. Expected a dataset that has a length, not a stream.")
    others = [column for column in dataset.column_names if column not in names]
    frame = dataset.select_columns(others).with_format(None).to_pandas()
    for column in others:
        feature = dataset.features[column]
        if hasattr(feature, "int2str"):  # a class's number
            frame[column] = [None if code is None or code < 0 else feature.int2str(int(code)) for code in frame[column]]
    for name in (name for name in names if name in dataset.column_names):
        frame[name] = _objects(_scalars(dataset, name))
    return frame


def _scalars(dataset: Any, name: str) -> list[Any]:
    """List a column's cells where they are, on disk: Arrow's scalars are references."""
    column = as_column(dataset[name])
    arrow = dataset.data.column(name)
    plain = getattr(dataset, "_indices", None) is None and type(dataset.features[name]).__name__ == "Image"
    if not plain or dataset.features[name].mode is not None:
        return list(column.sources)
    return [None if is_missing(cell) else cell for cell in arrow]


def _read_archive(file: str, names: Sequence[str], label: str | None, *, find_image: bool) -> pd.DataFrame:
    """Read an archive whose files are grouped by their names up to the first dot."""
    import pandas as pd

    samples: dict[str, dict[str, TarImage]] = {}
    for member in list_tar(_here(file)):
        folder, _, base = member.member.rpartition("/")
        key, _, suffix = base.partition(".")
        samples.setdefault(f"{folder}/{key}" if folder else key, {})[suffix.lower()] = member
    rows = []
    for key, members in samples.items():
        cells = {IMAGE: _find_image(key, members)} if find_image else {name: members.get(name) for name in names}
        rows.append({"key": key, **cells, **_read_others(members, label)})
    return pd.DataFrame(rows)


def _find_image(key: str, members: Mapping[str, TarImage]) -> TarImage | None:
    """Find the one member of a sample that has an image's suffix; None if there is none."""
    images = [suffix for suffix in members if f".{suffix.rpartition('.')[2]}" in SUFFIXES]
    if len(images) > 1:
        raise InputError(
            f"Got a sample {key!r} with the images {', '.join(images)}. Expected one: choose it by image=."
        )
    return members[images[0]] if images else None


def _read_others(members: Mapping[str, TarImage], label: str | None) -> dict[str, Any]:
    """Read what a sample has beside images."""
    row: dict[str, Any] = {}
    for suffix, member in members.items():
        if suffix == "json":
            row |= _read_json(member)
        elif suffix in ("cls", "cls2", "txt", "text", "caption", "index", "id") or suffix == label:
            text = member.read().decode("utf-8", "replace").strip()
            row[suffix] = int(text) if text.lstrip("-").isdecimal() and suffix != "txt" else text
    return row


def _read_json(member: TarImage) -> dict[str, Any]:
    try:
        content = json.loads(member.read())
    except ValueError as error:
        raise InputError(f"Got {member}, which is no JSON: {error}") from error
    return content if isinstance(content, dict) else {"json": content}
