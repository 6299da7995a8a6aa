"""What fills a store: a batch of images in, reasons and counts out; the same here and in a process elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from featx.exceptions import StoreError
from featx.extraction import Extraction
from featx.images import ImageColumn, spread
from featx.store import Store


@dataclass(frozen=True)
class Answer:
    """What became of a batch of rows.

    Attributes
    ----------
    reasons : dict of int to str
        Row of the batch -> why it has no embedding.
    encoded : tuple of int
        How many embeddings of each layer are new in the store; empty if nobody knows.
    dims : tuple of int or None
        Length of each layer's embedding; None if nothing has told it.
    """

    reasons: dict[int, str] = field(default_factory=dict)
    encoded: tuple[int, ...] = ()
    dims: tuple[int, ...] | None = None

    @classmethod
    def of_rows(cls, answers: Sequence[Answer]) -> Answer:
        """Make one answer of those of single rows."""
        reasons = {row: answer.reasons[0] for row, answer in enumerate(answers) if answer.reasons}
        encoded = tuple(map(sum, zip(*(answer.encoded for answer in answers if answer.encoded), strict=True)))
        return cls(reasons, encoded, next((answer.dims for answer in answers if answer.dims), None))


class CountingStore:
    """A store that counts the rows it is given, by their fingerprint, and remembers what it failed of.

    Parameters
    ----------
    store : Store
    together : bool, default=False
        Whether nobody else encodes the same images, so that nobody has to wait: the lock is then held only to let the
        store tidy up.

    Attributes
    ----------
    new : Counter of str
        Fingerprint -> rows.
    error : Exception or None
        The last one.
    """

    def __init__(self, store: Store, together: bool = False):
        self._store = store
        self._together = together
        self.new: Counter[str] = Counter()
        self.error: Exception | None = None
        if hasattr(store, "round"):
            self.round = store.round

    def get_many(self, fingerprint: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up rows; see `featx.store.Store.get_many`."""
        with self._remembering():
            return self._store.get_many(fingerprint, keys)

    def put_many(self, fingerprint: str, keys: np.ndarray, rows: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Keep rows; see `featx.store.Store.put_many`."""
        with self._remembering():
            self._store.put_many(fingerprint, keys, rows, meta)
        self.new[fingerprint] += len(keys)

    @contextmanager
    def lock(self, fingerprint: str) -> Iterator[None]:
        """Take turns, or take none; see `featx.store.Store.lock`."""
        if self._together:
            yield
        with self._store.lock(fingerprint):
            if not self._together:
                yield

    def __sklearn_clone__(self) -> CountingStore:
        return self

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            raise


class Worker:
    """Has a store hold the embeddings of batches of images, by one network.

    Parameters
    ----------
    extraction : Extraction
        With a store.
    open_images : callable
        Makes an `ImageColumn` of a batch.
    several : bool
        Whether rows may hold lists of images.
    together : bool
        As for `CountingStore`.
    """

    def __init__(
        self, extraction: Extraction, open_images: Callable[[Any], ImageColumn], *, several: bool, together: bool
    ):
        assert extraction.store is not None
        self._store = CountingStore(extraction.store, together)
        self._extraction = replace(extraction, store=self._store)
        self._open = open_images
        self._several = several
        self._dims: tuple[int, ...] | None = None

    def __call__(self, images: Any) -> Answer:
        """Embed a batch.

        Parameters
        ----------
        images : container of images
            As for `ImageEncoder`.

        Returns
        -------
        Answer
            Unusable images are no error.

        Raises
        ------
        StoreError
            If embeddings cannot be looked up or kept.
        """
        column = self._open(images)
        n = len(column)
        column = spread(column) if self._several else column
        reasons: dict[int, str] = {}
        for position, reason in self._extraction.fill(column).items():
            place = column.place(position)
            row, reason = (place[0], f"image {place[1]}: {reason}") if isinstance(place, tuple) else (place, reason)
            reasons.setdefault(row, reason)
        if self._store.error is not None:
            raise StoreError(f"Embeddings could not be kept: {self._store.error}") from self._store.error
        if self._dims is None and len(reasons) < n:
            self._dims = self._extraction.dims()
        encoded = tuple(self._store.new[fingerprint] for fingerprint in self._extraction.fingerprints())
        self._store.new.clear()
        return Answer(reasons, encoded, self._dims)
