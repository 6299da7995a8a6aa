"""The distinct images of one call and their embeddings, layer by layer, as far as they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from featx._warn_once import warn_once
from featx.encoders import EncoderSpec
from featx.exceptions import StoreWarning
from featx.store import Store


class Table:
    """Embeddings by distinct content.

    Parameters
    ----------
    keys : ndarray of shape (n, 16), uint8
        One a readable row, duplicates included.
    specs : sequence of EncoderSpec
        The layers; of each its name, dim, identity and fingerprint are used, be it of an image's network or not.
    store : Store or None

    Attributes
    ----------
    first : ndarray of shape (m,), int
        Of each distinct image, the first row that shows it.
    known : ndarray of shape (m,), bool
        Whether every layer of an image is known.
    """

    def __init__(self, keys: np.ndarray, specs: Sequence[EncoderSpec], store: Store | None):
        strings = np.ascontiguousarray(keys).view("S16").ravel()
        _, first, inverse = np.unique(strings, return_index=True, return_inverse=True)
        # In the order of the rows, not of the keys: without duplicates nothing has to be moved.
        order = np.argsort(first)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        self.first = first[order]
        self._inverse = rank[inverse] if len(first) < len(keys) else None
        self._keys = keys[self.first] if self._inverse is not None else keys
        self._specs = specs
        self._store = store
        self._fingerprints = [spec.fingerprint() for spec in specs]
        self._found = np.zeros((len(specs), len(self.first)), bool)
        self._kept = self._found.copy()  # in the store already
        self._layers: list[np.ndarray | None] = [None] * len(specs)
        self._dims = [spec.dim for spec in specs]
        self.look_up(np.arange(len(self.first)))

    @property
    def known(self) -> np.ndarray:
        return self._found.all(axis=0)

    @property
    def stored(self) -> bool:
        """Whether there is a store, and it works."""
        return self._store is not None

    def dims(self) -> tuple[int, ...] | None:
        """Length of each layer's embedding, as far as specs and rows tell."""
        return None if None in self._dims else tuple(self._dims)

    def keys_of(self, images: np.ndarray) -> list[bytes]:
        """Digests of distinct images."""
        return [key.tobytes() for key in self._keys[images]]

    def rows_of(self, image: int) -> np.ndarray:
        """The rows, among those given, that show this distinct image."""
        return np.array([self.first[image]]) if self._inverse is None else np.flatnonzero(self._inverse == image)

    def counts(self) -> np.ndarray:
        """How many rows show each distinct image."""
        if self._inverse is None:
            return np.ones(len(self.first), np.int64)
        return np.bincount(self._inverse, minlength=len(self.first))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the store's turns at missing rows of every layer."""
        with ExitStack() as turns:
            if self._store is not None:
                for fingerprint in sorted(self._fingerprints):  # in one order, so that no two wait for each other
                    turns.enter_context(self._store.turn(fingerprint))
            yield

    def look_up(self, images: np.ndarray) -> None:
        """Read from the store what is there of these images."""
        if self._store is None:
            return
        try:
            for i, fingerprint in enumerate(self._fingerprints):
                found, rows = self._store.get_many(fingerprint, self._keys[images])
                self._dims[i] = rows.shape[1] or self._dims[i]
                if found.any():
                    self._fill(i, images[found], rows)
                    self._kept[i, images[found]] = True
        except Exception as error:
            self._give_up("read", error)

    def add(self, images: np.ndarray, rows: np.ndarray, dims: Sequence[int]) -> None:
        """Take in freshly encoded rows, the layers side by side."""
        start = 0
        for i, dim in enumerate(dims):
            # A layer that another process stored meanwhile keeps its row.
            fresh = ~self._found[i, images]
            self._fill(i, images[fresh], rows[fresh, start : start + dim])
            start += dim

    def put(self, images: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Write rows to the store; a store that fails costs the caching, not the result."""
        if self._store is None or not len(images):
            return
        try:
            for spec, fingerprint, layer, kept in zip(
                self._specs, self._fingerprints, self._layers, self._kept, strict=True
            ):
                card, new = {"name": spec.name, **spec.identity()}, images[~kept[images]]
                if len(new):
                    self._store.put_many(fingerprint, self._keys[new], layer[new], {**meta, "encoder": card})
                    kept[new] = True
        except Exception as error:
            self._give_up("written", error)

    def gather(self) -> np.ndarray:
        """Embeddings of all rows given, (n, sum of dims) float32; (n, 0) where no image is known."""
        if any(layer is None for layer in self._layers):  # no image is known in all layers
            return np.empty((len(self.first) if self._inverse is None else len(self._inverse), 0), np.float32)
        rows = self._layers[0] if len(self._layers) == 1 else np.concatenate(self._layers, axis=1)
        return rows if self._inverse is None else rows[self._inverse]

    def _fill(self, i: int, images: np.ndarray, rows: np.ndarray) -> None:
        self._dims[i] = rows.shape[1]
        if self._layers[i] is None:
            if len(images) == len(self.first):
                self._layers[i] = rows
            else:
                self._layers[i] = np.full((len(self.first), rows.shape[1]), np.nan, np.float32)
        if self._layers[i] is not rows:
            self._layers[i][images] = rows
        self._found[i, images] = True

    def _give_up(self, what: str, error: Exception) -> None:
        self._store = None
        message = f"The cache could not be {what}; embeddings are not kept. {error}"
        warn_once(message, StoreWarning, {message}, stacklevel=6)
