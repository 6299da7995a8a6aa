"""Rows -> answers, in the threads of a service.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from ...exceptions import InputError
from ...images._decode import DecodeError, open_header
from .._columns import read_columns
from .._predictor import Predictor
from ._metrics import Metrics
from ._models import Model
from ._request import Unreadable


@dataclass(frozen=True)
class Answer:
    """The result of one row.

    Attributes
    ----------
    outputs : dict of str to ndarray
        By name; empty if the row cannot be used.
    error : str, default=""
        What is wrong with the row.
    too_large : bool, default=False
        Whether an image of it has more pixels than allowed.
    """

    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    error: str = ""
    too_large: bool = False


class Workers:
    """The threads that predict.

    Each predicts one row at a time, which is as fast as batches (a network of this kind fills one processor with one
    image), takes less memory, and lets the next request begin sooner.

    Parameters
    ----------
    n_jobs : int
        Number of threads.
    metrics : Metrics
    """

    def __init__(self, n_jobs: int, metrics: Metrics):
        self._pool = ThreadPoolExecutor(n_jobs, thread_name_prefix="featx")
        self._metrics = metrics

    async def run(self, model: Model, columns: Mapping[str, Sequence[Any]], names: Sequence[str]) -> list[Answer]:
        """Compute outputs of each row.

        Parameters
        ----------
        model : Model
        columns : mapping of str to sequence
            As the model's reader gives them.
        names : sequence of str
            The outputs to compute.

        Returns
        -------
        list of Answer
            In the rows' order.
        """
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        run = asyncio.get_running_loop().run_in_executor
        submitted = time.perf_counter()
        self._metrics.queue.inc(len(rows))
        tasks = [run(self._pool, self._run, model, row, names, submitted) for row in rows]
        return await asyncio.gather(*tasks)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, model: Model, row: Mapping[str, Any], names: Sequence[str], submitted: float) -> Answer:
        self._metrics.queue.dec()
        self._metrics.observe("queue", time.perf_counter() - submitted)
        answer = self._predict(model.predictor, row, names)
        self._metrics.rows.labels("good" if answer.outputs else "bad").inc()
        if answer.outputs:
            model.seen_answering()
        return answer

    def _predict(self, predictor: Predictor, row: Mapping[str, Any], names: Sequence[str]) -> Answer:
        for name, cell in row.items():
            for value in _values(cell):
                if isinstance(value, Unreadable):
                    return Answer(error=f"{name}: {value}")
        try:
            columns = read_columns({name: [value] for name, value in row.items()}, predictor.manifest["inputs"])
        except InputError as error:
            return Answer(error=str(error))
        outputs, reasons, unusable = predictor.run(columns, names, self._metrics.observe)
        reason = reasons.get(0, "")
        if reason and (too_large := _check_pixels(chain(*map(_values, row.values())), predictor.max_pixels)):
            return Answer(error=too_large, too_large=True)
        return Answer(error=reason) if unusable else Answer({name: outputs[name][0] for name in names}, reason)


def _values(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [cell]


def _check_pixels(values: Iterable[Any], limit: int) -> str:
    """Return which image is too large, by its header; empty if none is."""
    for data in values:
        try:
            width, height = open_header(data).size if isinstance(data, bytes) else (0, 0)
        except DecodeError:  # it has another fault
            continue
        if (pixels := width * height) > limit:
            return f"the image has {width} x {height} = {pixels:,} pixels, more than the limit of {limit:,}"
    return ""
