"""The command that answers many images: its options, its chunks, and what it tells on the way.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from ..._exit_status import run_command
from ..._machine import count_threads
from ...exceptions import InputError, ParameterError
from .._bundle import list_encoders
from .._columns import read_columns
from .._predictor import Predictor
from ._options import add_options
from ._output import Field, Output, label_fields, open_output
from ._source import Row, Rows, folder_rows, is_text_table, table_rows

# Of one row: the value of each field, and its error; or its error alone.
Answer = tuple[Any, ...]
# For each thread: so many that few wait at the end of a chunk, and that a run that is stopped loses seconds.
_ROWS_PER_THREAD = 256
_EVERY = 0.2  # seconds
_OTHER_TABLES = (".parquet", ".pq", ".tar", ".zip", ".zst")


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer with the bundle that this file lies in.

    Parameters
    ----------
    arguments : sequence of str, default=None
        If None, the arguments of the process.

    Returns
    -------
    int
        The exit status: 0; 1 if rows cannot be answered; else as `run_command` has it.
    """
    parsed = _parser().parse_args(arguments)

    def run() -> int:
        predictor = Predictor(n_jobs=parsed.n_jobs, max_pixels=parsed.max_pixels, on_error="raise")
        return predict_with_bundle(predictor, parsed)

    return run_command("predict.py", run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description="Answer each image of a folder, or each row of a table: image,label,probability,error; the labels "
        "are label_0,label_1 where the model has several outputs, and where it only embeds there is a column for each "
        "number. A row that cannot be answered has its error, and the exit status is 1 then.",
    )
    parser.add_argument("paths", nargs="+", metavar="FOLDER|FILE", help="folders, nested ones too, images, or a table")
    parser.add_argument("--n-jobs", type=int, default=-1, metavar="N", help="threads; default: one per processor")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="of an image; default: the pipeline's limit")
    add_options(parser)
    return parser


def predict_with_bundle(
    predictor: Predictor,
    parsed: argparse.Namespace,
    rows: Rows | None = None,
    output: Callable[[Sequence[Field]], Output] | None = None,
) -> int:
    """Answer rows with a bundle.

    Parameters
    ----------
    predictor : Predictor
        What answers.
    parsed : Namespace
        With paths, and with what `add_options` declares.
    rows : Rows, default=None
        None are those of the paths.
    output : callable, default=None
        From the fields of an answer to an Output; None is the one that `parsed` names.

    Returns
    -------
    int
        1 if rows cannot be answered, else 0.
    """
    manifest = predictor.manifest
    rows = rows or _rows_of(parsed, manifest["inputs"])
    if manifest["task"] == "embedding":
        answer, fields = partial(_embed, predictor), _embedding_fields(manifest["inputs"])
    else:
        kind = "O" if manifest["dtype"] is None else manifest["dtype"].lstrip("<>|=")[:1]
        answer, fields = partial(_label, predictor), label_fields(kind, manifest.get("width"))
    made_of = {"model": manifest["sha256"], "max_pixels": predictor.max_pixels}
    chunk = _ROWS_PER_THREAD * count_threads(predictor.n_jobs)
    return answer_rows(parsed, rows, answer, made_of, fields=fields, chunk=chunk, output=output)


def _label(predictor: Predictor, X: Any) -> list[Answer]:
    rows, several = predictor.predict_table(X), "width" in predictor.manifest
    return [(row["label"], *(() if several else (row["probability"],)), row["error"]) for row in rows]


def _embed(predictor: Predictor, X: Any) -> list[Answer]:
    columns = read_columns(X, predictor.manifest["inputs"])
    outputs, reasons, unusable = predictor.run(columns, ["embedding"])
    embeddings = in_few_digits(outputs["embedding"])
    return [(None if i in unusable else row, reasons.get(i, "")) for i, row in enumerate(embeddings)]


def in_few_digits(embeddings: np.ndarray) -> list[list[float | None]]:
    """Return numbers of 32 bits as those that look the same, in 9 digits and not in 17; None for NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.deploy.batch import in_few_digits
    >>> in_few_digits(np.float32([[0.1, np.nan]]))
    [[0.1, None]]
    """
    numbers = embeddings.astype(np.float32).astype("U").astype(np.float64).astype(object)
    return np.where(np.isnan(embeddings), None, numbers).tolist()


def _embedding_fields(inputs: Sequence[dict[str, Any]]) -> tuple[Field, ...]:
    """Name the numbers as featx's encoders do: image_0000, image_0001, ..."""
    columns: list[str] = []
    for entry in inputs:
        n = sum(encoder["dim"] for encoder in list_encoders([entry]))
        columns += [f"{entry['name']}_{i:0{len(str(n - 1))}}" for i in range(n)]
    return (Field("embedding", "f4", tuple(columns)),)


def _rows_of(parsed: argparse.Namespace, inputs: Sequence[dict[str, Any]]) -> Rows:
    paths = parsed.paths
    if len(paths) == 1 and is_text_table(paths[0]):
        return table_rows(paths[0], inputs, parsed.image, parsed.root)
    for name in ("image", "root"):
        if getattr(parsed, name) is not None:
            raise ParameterError(f"Got --{name} without a table. Expected one table, a .csv for example.")
    others = (path for path in paths if path.lower().endswith(_OTHER_TABLES) and not os.path.isdir(path))
    if tables := [*filter(is_text_table, paths), *others]:
        raise InputError(f"Got {tables[0]}. Expected folders and images, or one table alone: .csv or .tsv.")
    if len(inputs) > 1:
        names = ", ".join(repr(entry["name"]) for entry in inputs)
        raise InputError(f"Got images alone. Expected a table, a .csv: this model takes the columns {names}.")
    return folder_rows(paths)


def answer_rows(
    parsed: argparse.Namespace,
    rows: Rows,
    answer: Callable[[Any], Sequence[Answer]],
    made_of: dict[str, Any],
    *,
    fields: Sequence[Field],
    chunk: int,
    output: Callable[[Sequence[Field]], Output] | None = None,
) -> int:
    """Answer rows, chunk by chunk, and tell how far it is.

    Parameters
    ----------
    parsed : Namespace
        With what `add_options` declares.
    rows : Rows
        What to answer.
    answer : callable
        Answers what `rows` gathers.
    made_of : dict of plain data
        What the answers depend on, beside the rows.
    fields : sequence of Field
        What an answer holds beside its error.
    chunk : int
        How many rows are answered at once.
    output : callable, default=None
        From the fields of an answer to an Output; None is the one that `parsed` names.

    Returns
    -------
    int
        1 if rows cannot be answered, else 0.
    """
    progress = _Progress(rows, parsed.quiet)
    made_of = {**made_of, **rows.state}
    with (
        nullcontext(output(fields))
        if output
        else open_output(parsed.output, made_of, fields, resume=parsed.resume, overwrite=parsed.overwrite) as opened
    ):
        try:
            with progress:
                rest = opened.rest(rows)
                progress.begin(opened)
                while some := list(islice(rest, chunk)):
                    opened.write(_answer_each(some, rows, answer, len(fields)))
                    progress.show(opened)
                opened.finish()
        except KeyboardInterrupt:
            if parsed.output and opened.done:
                print(f"stopped after {opened.done:,} images: go on with --resume", file=sys.stderr)
            raise
    done, bad = opened.done, opened.bad
    if bad or (parsed.output and not parsed.quiet):
        where = f": {parsed.output}" if parsed.output else ""
        print(f"{done:,} image{'' if done == 1 else 's'}, {bad:,} unreadable{where}", file=sys.stderr)
    return int(bad > 0)


def _answer_each(
    some: Sequence[Row], rows: Rows, answer: Callable[[Any], Sequence[Answer]], n_values: int
) -> list[tuple[Any, ...]]:
    good = [row.cells for row in some if not row.problem]
    answers = iter(answer(rows.gather(good)) if good else ())
    given = [(row.image, (row.problem,) if row.problem else next(answers)) for row in some]
    return [(image, *[None] * (n_values + 1 - len(values)), *values) for image, values in given]


class _Progress:
    """A line on a terminal: how many rows are answered, and how fast."""

    def __init__(self, rows: Rows, quiet: bool):
        self._rows = rows
        self._shown = not quiet and sys.stderr.isatty()
        self._total = self._before = 0
        self._started = self._last = 0.0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def begin(self, output: Output) -> None:
        """Count the rows, and those that an earlier run answered."""
        if self._shown:
            self._total = sum(1 for _ in self._rows)
            self._before = output.done
            self._started = time.monotonic()
            self.show(output)

    def show(self, output: Output) -> None:
        now = time.monotonic()
        if not self._shown or now - self._last < _EVERY:
            return
        self._last = now
        new, seconds = output.done - self._before, now - self._started
        text = f"{output.done:,} of {self._total:,} images"
        if new and seconds:
            left = round((self._total - output.done) * seconds / new)
            text += f", {new / seconds:,.0f} a second, {left // 60}:{left % 60:02} left"
        if output.bad:
            text += f", {output.bad:,} unreadable"
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
