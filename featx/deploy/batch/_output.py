"""The answers of a job: appended to a file in a folder beside the output, which gets its name when all are there.

A run that was stopped, by whatever, leaves its rows in OUTPUT.partial/: another goes on after the last whole one.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Protocol

from ...exceptions import InputError, MissingDependencyError, OutputError, ParameterError
from ._source import Row

SUFFIXES = (".csv", ".parquet")
_RUN, _ROWS, _JOINED = "run.json", "rows", "joined"
# Of Parquet, that are held at once.
_GROUP, _CELLS = 32_768, 2**22
_TYPES = {"b": "bool_", "i": "int64", "u": "uint64", "f": "float64", "f4": "float32"}


@dataclass(frozen=True)
class Field:
    """What an answer holds between its image and its error: a value, or a list with a column for each of its values.

    Attributes
    ----------
    name : str
    kind : str
        numpy's kind of the values: "U" or "O" (text), "i", "u", "f", "b"; "f4" are floats of 32 bits; others are text
        too.
    columns : tuple of str, default=()
        The columns of a list; none of a single value, whose column has its name.
    """

    name: str
    kind: str
    columns: tuple[str, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        """The names of its columns."""
        return self.columns or (self.name,)

    def cells(self, value: Any) -> Sequence[Any]:
        """Make of a value the cells of its columns; of None, that of a row that has no answer, empty ones."""
        if not self.columns:
            return (value,)
        return (None,) * len(self.columns) if value is None else value


def label_fields(kind: str, width: int | None = None) -> tuple[Field, ...]:
    """List the fields of labels: a label and its probability, or, of several outputs, a label of each."""
    if width is None:
        return Field("label", kind), Field("probability", "f")
    return (Field("label", kind, tuple(f"label_{i}" for i in range(width))),)


class Output(Protocol):
    """Where answers go: for each row its image, the value of each field, and its error.

    Attributes
    ----------
    done, bad : int
        How many rows are answered, and how many of them have an error.
    """

    done: int
    bad: int

    def rest(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass over the rows that are answered already."""

    def write(self, answers: Sequence[Sequence[Any]]) -> None:
        """Append answers."""

    def finish(self) -> None:
        """Give the output its name."""


@contextmanager
def open_output(
    file: str | Path | None,
    made_of: Mapping[str, Any],
    fields: Sequence[Field],
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Iterator[Output]:
    """Open what answers are written to.

    Parameters
    ----------
    file : str, Path or None
        A .csv or a .parquet; None prints CSV.
    made_of : mapping of plain data
        What the answers depend on; a run goes on only with the same.
    fields : sequence of Field
        What an answer holds.
    resume : bool, default=False
        Whether to go on where an earlier run was stopped, if there was one.
    overwrite : bool, default=False
        Whether an older file may be replaced, and the rows of a run that was stopped forgotten.

    Raises
    ------
    ParameterError
        If it cannot be written, is there already, or a run that was stopped was made of something else.
    OutputError
        If it can no longer be written, as on a full disk; what was written is kept.
    MissingDependencyError
        If it is .parquet, and pyarrow is not installed.
    """
    if file is None:
        if resume or overwrite:
            raise ParameterError(f"Got {'--resume' if resume else '--overwrite'} without -o. Expected a file.")
        yield Printed(fields)
        return
    output = Kept(Path(os.path.realpath(file)), fields)  # of a link, what it leads to
    try:
        output.begin(json.loads(json.dumps(made_of)), resume=resume, overwrite=overwrite)
        yield output
    finally:
        output.close()


class _Answers:
    """Answers that become rows of columns."""

    def __init__(self, fields: Sequence[Field]):
        self.done = self.bad = 0
        self._fields = fields
        self._columns = ("image", *chain.from_iterable(field.header for field in fields), "error")

    def _rows(self, answers: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Make rows of answers, and count them."""
        self.done += len(answers)
        self.bad += sum(bool(answer[-1]) for answer in answers)
        return [self._row(*answer) for answer in answers]

    def _row(self, image: str, *values: Any) -> list[Any]:
        *values, error = values  # type: ignore[assignment]
        parts = (field.cells(value) for field, value in zip(self._fields, values, strict=True))
        return [image, *chain.from_iterable(parts), error]


class Printed(_Answers):
    """Answers that are printed as CSV."""

    def rest(self, rows: Iterable[Row]) -> Iterator[Row]:
        return iter(rows)

    def write(self, answers: Sequence[Sequence[Any]]) -> None:
        header = [] if self.done else [self._columns]
        sys.stdout.write(csv_lines([*header, *self._rows(answers)]))
        sys.stdout.flush()

    def finish(self) -> None:
        if not self.done:
            self.write([])


class Kept(_Answers):
    """Answers that are kept in a folder beside the file that they will be."""

    def __init__(self, target: Path, fields: Sequence[Field]):
        super().__init__(fields)
        self._target = target
        self._folder = target.with_name(f"{target.name}.partial")
        self._is_csv = target.suffix.lower() == SUFFIXES[0]
        self._header = csv_lines([self._columns]).encode() if self._is_csv else b""
        self._file: IO[bytes] | None = None

    def begin(self, made_of: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Open the folder, and make sure that it may be written to, by nobody else."""
        self._check_target(resume, overwrite)
        if not self._is_csv:
            _import_parquet()
        run = self._folder / _RUN
        with self._writing():
            self._folder.mkdir(exist_ok=True)
            if not run.exists() and any(path.name != _ROWS for path in self._folder.iterdir()):
                raise ParameterError(f"Got {self._target}, but {self._folder} holds something else. Remove it first.")
            self._file = open(self._folder / _ROWS, "ab", buffering=0)  # noqa: SIM115 - closed by `close`
        _lock(self._file, self._folder)
        if self._has_rows() and not overwrite and not resume:
            raise ParameterError(
                f"{self._folder} holds the rows of a run that was stopped. Go on with --resume, or begin anew with "
                "--overwrite."
            )
        with self._writing():
            if resume and self._has_rows() and run.exists():
                self._check_same(json.loads(run.read_bytes()), made_of)
                return
            self._file.truncate(0)
            (self._folder / f"{_RUN}.new").write_text(json.dumps(made_of, indent=2) + "\n")
            (self._folder / f"{_RUN}.new").replace(run)

    def _check_target(self, resume: bool, overwrite: bool) -> None:
        """Refuse at once what could not be written after hours of work."""
        target = self._target
        if target.suffix.lower() not in SUFFIXES:
            raise ParameterError(f"Got -o {target.name}. Expected a name that ends in {' or '.join(SUFFIXES)}.")
        if not target.parent.is_dir():
            raise ParameterError(f"Got {target}, but there is no folder {target.parent}. Make it first.")
        if target.exists() and not target.is_file():
            raise ParameterError(f"Got {target}, which is not a file. Expected the name of a file to write.")
        if target.exists() and not overwrite:
            whole = ", and its run was not stopped" if resume and not self._folder.exists() else ""
            raise ParameterError(f"{target} is there already{whole}. Expected another name, or --overwrite.")

    def _check_same(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        other = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
        if other:
            raise ParameterError(
                f"{self._folder} holds the rows of a run with another {' and '.join(sorted(other))}. Go on with the "
                "same, or begin anew with --overwrite."
            )

    def rest(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass over the rows that are answered, each of which must be of the input's image; cut what is torn."""
        assert self._file is not None
        source, end = iter(rows), 0
        for answer, end in self._read():  # noqa: B007 - the last one's is the end of what is whole
            row = next(source, None)
            if row is None or row.image != answer[0]:
                raise InputError(
                    f"Row {self.done} of {self._folder} is of {answer[0]!r}, and that of the input now "
                    f"{'is not there' if row is None else f'of {row.image!r}'}: the input has changed. Begin anew with "
                    "--overwrite."
                )
            self.done += 1
            self.bad += bool(answer[-1])
        with self._writing():
            self._file.truncate(end)
        if not end:
            self._append(self._header)
        return source

    def _read(self) -> Iterator[tuple[list[Any], int]]:
        """Read the answers that are whole, each with the offset after it."""
        with open(self._folder / _ROWS, "rb") as file:
            records = read_csv(file) if self._is_csv else read_json(file)
            for i, (record, end) in enumerate(records):
                if len(record) != len(self._columns):
                    return
                if i or not self._is_csv:
                    yield record, end

    def write(self, answers: Sequence[Sequence[Any]]) -> None:
        lines = (csv_lines if self._is_csv else json_lines)(self._rows(answers))
        self._append(lines.encode("utf-8", "surrogateescape"))

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        with self._writing():
            while data:  # what fits on a disk that is nearly full is written first
                data = data[self._file.write(data) :]

    def finish(self) -> None:
        assert self._file is not None
        with self._writing():
            os.fsync(self._file.fileno())
            if not self._is_csv:
                self._join()
            self._file.close()
            (self._folder / (_ROWS if self._is_csv else _JOINED)).replace(self._target)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _join(self) -> None:
        """Write Parquet of the rows."""
        pyarrow, parquet = _import_parquet()
        kinds = ["U", *chain.from_iterable([field.kind] * len(field.header) for field in self._fields), "U"]
        types = [getattr(pyarrow, _TYPES.get(kind, "string"))() for kind in kinds]
        schema = pyarrow.schema(list(zip(self._columns, types, strict=True)))
        texts = [i for i, kind in enumerate(kinds) if kind not in _TYPES]
        joined = self._folder / _JOINED
        try:
            with open(joined, "wb") as file:
                with parquet.ParquetWriter(file, schema) as writer:
                    rows = (_with_utf8(row, texts) for row, _ in self._read())
                    while group := list(islice(rows, max(1, min(_GROUP, _CELLS // len(kinds))))):
                        writer.write_table(pyarrow.table(list(zip(*group, strict=True)), schema=schema))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            joined.unlink(missing_ok=True)  # so that there is room again
            raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"{self._target} cannot be written: {error.strerror or error}. What was answered so far is kept in "
                f"{self._folder}: make room, and go on with --resume."
            ) from error

    def _has_rows(self) -> bool:
        assert self._file is not None
        return os.fstat(self._file.fileno()).st_size > len(self._header)

    def close(self) -> None:
        """Close the file, and leave no folder without rows."""
        if self._file is None:
            return
        if not self._file.closed and not self._has_rows():
            shutil.rmtree(self._folder, ignore_errors=True)
        self._file.close()


class _Lines:
    """What csv.writer writes to: lines that end as on Unix, of fields that are quoted wherever a reader wants it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line.removesuffix("\r\n") + "\n")


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    r"""Format rows as CSV; None is an empty field.

    Examples
    --------
    >>> from featx.deploy.batch import csv_lines
    >>> csv_lines([["a\rb", None, 0.5]])
    '"a\rb",,0.5\n'
    """
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)  # which it quotes, alone and together
    return "".join(lines.lines)


def read_csv(file: IO[bytes]) -> Iterator[tuple[list[str], int]]:
    """Read the records that are whole, each with the offset after it."""
    end, record = 0, b""
    for line in file:
        record += line
        if line.endswith(b"\n") and record.count(b'"') % 2 == 0:
            end += len(record)
            text = record[:-1].decode("utf-8", "surrogateescape")
            try:
                fields = next(csv.reader([text]), [])
            except csv.Error:
                return
            yield fields, end
            record = b""


def json_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Format rows as a list of JSON a line, which keeps their types."""
    return "".join(json.dumps(list(row)) + "\n" for row in rows)


def read_json(file: IO[bytes]) -> Iterator[tuple[list[Any], int]]:
    """Read the lines that are whole, each with the offset after it."""
    end = 0
    for line in file:
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            return
        if not isinstance(record, list):
            return
        end += len(line)
        yield record, end


def _with_utf8(row: list[Any], texts: Sequence[int]) -> list[Any]:
    """Make text of UTF-8, as Parquet wants it: in other names the odd bytes are spelled out."""
    for i in texts:
        if row[i] is not None:
            row[i] = str(row[i]).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return row


def _lock(file: IO[bytes], folder: Path) -> None:
    """Refuse two runs of one output, where the system tells of the other."""
    with suppress(ImportError):  # on Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise ParameterError(f"Another run is writing to {folder}. Wait for it, or choose another name.") from error
        except OSError:  # a file system without locks
            return


def _import_parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            "Writing .parquet needs the package 'pyarrow', which is not installed. "
            "Install it with: pip install pyarrow. A .csv needs nothing"
        ) from error
    return pyarrow, pyarrow.parquet
