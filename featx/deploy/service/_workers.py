"""Rows -> answers, in threads: small images as they come, large ones as memory allows.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...exceptions import InputError
from ...images._decode import DecodeError, open_header
from .._columns import read_columns
from .._predictor import Predictor
from ._memory import MEGABYTE, SMALL, Room, decode_cost
from ._request import Unreadable


@dataclass(frozen=True)
class Answer:
    """What became of a row.

    Attributes
    ----------
    outputs : dict of str to ndarray
        By name; empty where the row is unusable.
    error : str, default=""
        What is wrong with it.
    too_large : bool, default=False
        Whether that is its image's size.
    """

    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    error: str = ""
    too_large: bool = False


class Workers:
    """Threads that predict, a row at a time: together they are as fast as with batches, and keep less in memory.

    Parameters
    ----------
    predictor : Predictor
        Best with ``n_jobs=1``: each of these threads is one of them.
    threads : int
    room : Room
        For decoding large images.
    """

    def __init__(self, predictor: Predictor, threads: int, room: Room):
        self._predictor = predictor
        self._room = room
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="featx")

    async def answer(self, columns: Mapping[str, Sequence[Any]], names: Sequence[str]) -> list[Answer]:
        """Answer rows.

        Parameters
        ----------
        columns : dict of str to sequence
            One for each of the bundle's inputs.
        names : sequence of str
            Of the outputs.

        Returns
        -------
        list of Answer
            One a row, in order.
        """
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return await asyncio.gather(*(self._answer(row, names) for row in rows))

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, row: dict[str, Any], names: Sequence[str]) -> Answer:
        run = asyncio.get_running_loop().run_in_executor
        done = await run(self._pool, self._try, row, names)
        if isinstance(done, Answer):
            return done
        async with self._room.taken(done):
            return await run(self._pool, self._predict, row, names)

    def _try(self, row: dict[str, Any], names: Sequence[str]) -> Answer | int:
        """The answer, or what decoding costs where that needs room."""
        for name, value in row.items():
            if isinstance(value, Unreadable):
                return Answer(error=f"{name}: {value}")
        costs = [self._cost(value) for value in row.values() if isinstance(value, bytes)]
        refused = next((cost for cost in costs if isinstance(cost, Answer)), None)
        if refused is not None:
            return refused
        cost = max(costs, default=0)  # they are decoded one after the other
        return self._predict(row, names) if cost <= SMALL else cost

    def _cost(self, data: bytes) -> int | Answer:
        try:
            image = open_header(data)
        except DecodeError:  # which the prediction tells
            return 0
        pixels, limit = image.width * image.height, self._predictor.max_pixels
        size = f"the image has {image.width} x {image.height} = {pixels:,} pixels"
        if pixels > limit:
            return Answer(error=f"{size}, more than the limit of {limit:,}", too_large=True)
        cost = decode_cost(image, data)
        if cost > max(SMALL, self._room.size):
            megabytes = f"{cost / MEGABYTE:.0f} MB to decode, more than the {self._room.size / MEGABYTE:.0f} MB"
            return Answer(error=f"{size} and takes {megabytes} that this service's memory leaves", too_large=True)
        return cost

    def _predict(self, row: dict[str, Any], names: Sequence[str]) -> Answer:
        try:
            columns = read_columns({name: [value] for name, value in row.items()}, self._predictor.card["inputs"])
        except InputError as error:
            return Answer(error=str(error))
        outputs, reasons, unusable = self._predictor.run(columns, names)
        reason = reasons.get(0, "")
        return Answer(error=reason) if unusable else Answer({name: outputs[name][0] for name in names}, reason)
