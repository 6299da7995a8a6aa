"""Images inside other files, tar archives and Parquet: found once, read when they are needed."""

from __future__ import annotations

import os
import tarfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from featx._optional import import_optional
from featx.exceptions import InputError
from featx.images._cell import DecodeError, open_cell
from featx.images._memo import FileState
from featx.images._read import stat_file
from featx.images._source import KeptImage


@dataclass(frozen=True, repr=False)
class _Inside(KeptImage):
    """An image inside a file, of which the file's state tells whether it is still the same."""

    file: str

    @classmethod
    def states(cls, images: Sequence[Any]) -> list[FileState | str]:
        found: dict[str, FileState | str] = {}
        for file in {image.file for image in images}:
            try:
                found[file] = FileState.of(stat_file(file))
            except DecodeError as error:
                found[file] = f"{file}: {error}"
        return [_of_size(found[image.file], image.size) for image in images]

    @property
    def size(self) -> int:
        """In bytes, as far as it is known."""
        raise NotImplementedError


def _of_size(state: FileState | str, size: int) -> FileState | str:
    return state if isinstance(state, str) else FileState(state.packed, size, state.changed)


@dataclass(frozen=True, repr=False)
class TarImage(_Inside):
    """A member of a tar archive that is not compressed.

    Parameters
    ----------
    file : str
        The archive's absolute path.
    member : str
        The member's name.
    offset, length : int
        Where its bytes are.
    """

    member: str
    offset: int
    length: int

    @property
    def name(self) -> str:
        return f"tar:{self.file}#{self.offset}+{self.length}"

    @property
    def size(self) -> int:
        return self.length

    def __str__(self) -> str:
        return f"{self.file}::{self.member}"

    def read(self) -> bytes:
        try:
            with open(self.file, "rb") as archive:
                archive.seek(self.offset)
                content = archive.read(self.length)
        except OSError as error:
            raise DecodeError(f"cannot be read: {error.strerror or error}") from error
        if len(content) < self.length:
            raise DecodeError(f"{self.file} ends within it")
        return content


def list_tar(file: str) -> Iterator[TarImage]:
    """List the files in a tar archive that is not compressed.

    Raises
    ------
    InputError
        If it is no such archive.
    """
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                if member.isreg() and not member.issparse():
                    yield TarImage(file, member.name, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise InputError(
            f"Got {file}, which cannot be read as a tar archive: {error}. Expected one that is not compressed: its "
            "members are read one by one. Decompress it first."
        ) from error


@dataclass(frozen=True, repr=False)
class ParquetImage(_Inside):
    """A cell of a Parquet file: bytes, or a dict of bytes and path.

    Parameters
    ----------
    file : str
        The file's absolute path.
    column : str
        The column's name.
    group, row : int
        The row group, and the row in it.
    length : int
        Bytes of an image, on average.
    """

    column: str
    group: int
    row: int
    length: int

    @property
    def name(self) -> str:
        return f"parquet:{self.file}#{self.column}#{self.group}#{self.row}"

    @property
    def size(self) -> int:
        return self.length

    @property
    def order(self) -> tuple[Any, ...]:
        return self.file, self.column, self.group, self.row

    def __str__(self) -> str:
        return f"{self.file}::{self.column}[{self.group}, {self.row}]"

    def read(self) -> bytes:
        try:
            cell = _open_group(self.file, self.group, self.column).cell(self.row)
        except Exception as error:  # whatever Arrow says of a damaged file
            raise DecodeError(f"{self.file} cannot be read: {error}") from error
        content = open_cell(cell)
        if not isinstance(content, bytes):
            raise DecodeError(f"a {type(content).__name__} in {self.file}; expected bytes")
        return content


class _Group:
    """A column of a row group, read from its beginning on; a group may be too large for memory."""

    def __init__(self, file: str, group: int, column: str):
        parquet = import_optional("pyarrow.parquet", extra="cli", purpose="Reading Parquet")
        self._file, self._group, self._column = _open_stream(parquet, file), group, column
        self._lock = threading.Lock()  # threads want rows side by side
        self._begin()

    def cell(self, row: int) -> Any:
        """Read one cell: at no cost if it lies a little before the last one, and all over again if far."""
        with self._lock:
            if row < (self._kept[0][0] if self._kept else 0):
                self._begin()
            while row >= self._end:
                column = next(self._iterator).column(0)
                self._kept.append((self._end, column))
                self._end += len(column)
            start, batch = next((start, column) for start, column in reversed(self._kept) if start <= row)
        return batch[row - start].as_py()

    def _begin(self) -> None:
        self._iterator = self._file.iter_batches(batch_size=_ROWS, row_groups=[self._group], columns=[self._column])
        self._kept: deque[tuple[int, Any]] = deque(maxlen=_KEPT)
        self._end = 0


def _open_stream(parquet: Any, file: str) -> Any:
    """Open a file whose pages are read when they come: unbuffered, Arrow holds the whole column of a row group."""
    return parquet.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)


_BUFFER = 1 << 20
_ROWS = 64
_KEPT = 4
_OPENING = threading.Lock()


def _open_group(file: str, group: int, column: str) -> _Group:
    state = os.stat(file)
    with _OPENING:
        return _cached_group(file, (state.st_mtime_ns, state.st_size), group, column)


@lru_cache(maxsize=2)
def _cached_group(file: str, state: tuple[int, int], group: int, column: str) -> _Group:
    return _Group(file, group, column)


def list_parquet(file: str, column: str) -> list[Any]:
    """List the cells of a column of images in a Parquet file: `ParquetImage`, None, or what is no bytes as it is."""
    parquet = import_optional("pyarrow.parquet", extra="cli", purpose="Reading Parquet")
    cells: list[Any] = []
    with _open_stream(parquet, file) as opened:
        metadata = opened.metadata
        for group in range(metadata.num_row_groups):
            n, chunks = metadata.row_group(group).num_rows, _chunks(metadata.row_group(group), column)
            length = sum(chunk.total_uncompressed_size for chunk in chunks) // max(n, 1)
            images = [ParquetImage(file, column, group, row, length) for row in range(n)]
            cells += images if _is_full(chunks) else _look(opened, group, column, images)
    return cells


def _chunks(group: Any, column: str) -> list[Any]:
    chunks = (group.column(i) for i in range(group.num_columns))
    return [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] == column]


def _is_full(chunks: Sequence[Any]) -> bool:
    """Whether statistics tell that every row has bytes."""
    told = [chunk for chunk in chunks if chunk.path_in_schema.endswith(".bytes") or "." not in chunk.path_in_schema]
    return bool(told) and all(
        chunk.statistics is not None and chunk.statistics.has_null_count and chunk.statistics.null_count == 0
        for chunk in told
    )


def _look(opened: Any, group: int, column: str, images: Sequence[ParquetImage]) -> list[Any]:
    """Read a group to find its rows without bytes."""
    cells = []
    batches = opened.iter_batches(batch_size=_ROWS, row_groups=[group], columns=[column])
    scalars = (scalar for batch in batches for scalar in batch.column(0))
    for image, scalar in zip(images, scalars, strict=True):
        cell = scalar.as_py()
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        cells.append(image if isinstance(data, bytes) else cell)
    return cells
