"""Distinct images and their embeddings, layer by layer, as far as they are known; the missing ones, encoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import numpy as np

from featx._warnings import warn_once
from featx.exceptions import StoreWarning
from featx.store import Store

# Seconds between two looks at the store: what a killed process loses, and how long others wait for the lock.
_CHUNK_SECONDS = 2.0
_FIRST_CHUNK = 64
_CHUNKS = (16, 16384)


class Layer(Protocol):
    """What names the rows of one layer, of a network for images or of one for texts."""

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int | None: ...
    def identity(self) -> dict[str, Any]: ...
    def fingerprint(self) -> str: ...


class Table:
    """Embeddings by distinct content; empty until `look_up` or `add`.

    Parameters
    ----------
    keys : ndarray of shape (n, 16), uint8
        A digest for each readable row, duplicates included.
    specs : sequence of Layer
        The layers.
    store : Store or None
        Where rows are kept.

    Attributes
    ----------
    first : ndarray of shape (m,), int
        Of each distinct image, the first row that shows it.
    known : ndarray of shape (m,), bool
        Whether every layer of an image is known.
    store : Store or None
        None, too, once the store has failed.
    """

    def __init__(self, keys: np.ndarray, specs: Sequence[Layer], store: Store | None):
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
        self.store = store
        self._fingerprints = [spec.fingerprint() for spec in specs]
        self._found = np.zeros((len(specs), len(self.first)), bool)
        self._kept = self._found.copy()  # in the store already
        self._layers: list[np.ndarray | None] = [None] * len(specs)
        self._dims = [spec.dim for spec in specs]

    @property
    def known(self) -> np.ndarray:
        """Whether each distinct image's embedding is known in every layer."""
        return self._found.all(axis=0)

    def dims(self) -> tuple[int, ...] | None:
        """Give the length of each layer's embedding; None if neither specs nor rows have one of them."""
        dims = tuple(dim for dim in self._dims if dim is not None)
        return dims if len(dims) == len(self._dims) else None

    def keys_of(self, images: np.ndarray) -> list[bytes]:
        """Give the digests of distinct images."""
        return [key.tobytes() for key in self._keys[images]]

    def rows_of(self, image: int) -> np.ndarray:
        """Find the rows, among those given, that show this distinct image."""
        return np.array([self.first[image]]) if self._inverse is None else np.flatnonzero(self._inverse == image)

    def counts(self) -> np.ndarray:
        """Count the rows that show each distinct image."""
        if self._inverse is None:
            return np.ones(len(self.first), np.int64)
        return np.bincount(self._inverse, minlength=len(self.first))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store's locks on missing rows of every layer."""
        with ExitStack() as locks:
            if self.store is not None:
                for fingerprint in sorted(self._fingerprints):  # in one order, so that no two wait for each other
                    locks.enter_context(self.store.lock(fingerprint))
            yield

    def look_up(self, images: np.ndarray | None = None) -> None:
        """Read the embeddings of these distinct images, or of all, from the store."""
        if self.store is None:
            return
        images = np.arange(len(self.first)) if images is None else images
        try:
            for i, fingerprint in enumerate(self._fingerprints):
                found, rows = self.store.get_many(fingerprint, self._keys[images])
                self._dims[i] = rows.shape[1] or self._dims[i]
                if found.any():
                    self._fill(i, images[found], rows)
                    self._kept[i, images[found]] = True
        except Exception as error:
            self._give_up("read", error)

    def add(self, images: np.ndarray, rows: np.ndarray, dims: Sequence[int]) -> None:
        """Take in freshly encoded rows, the layers side by side."""
        as_kept = getattr(self.store, "round", None) or (lambda new: new)  # what later calls get from the store
        start = 0
        for i, dim in enumerate(dims):
            # A layer that another process stored meanwhile keeps its row.
            fresh = ~self._found[i, images]
            self._fill(i, images[fresh], as_kept(rows[fresh, start : start + dim]))
            start += dim

    def put(self, images: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Write rows to the store; a store that fails costs the caching, not the result."""
        if self.store is None or not len(images):
            return
        try:
            for spec, fingerprint, layer, kept in zip(
                self._specs, self._fingerprints, self._layers, self._kept, strict=True
            ):
                new = images[~kept[images]]
                if len(new) and layer is not None:
                    encoder = {"name": spec.name, **spec.identity()}
                    self.store.put_many(fingerprint, self._keys[new], layer[new], {**meta, "encoder": encoder})
                    kept[new] = True
        except Exception as error:
            self._give_up("written", error)

    def gather(self) -> np.ndarray:
        """Give the embeddings of all rows, (n, sum of dims) float32; (n, 0) if no image is known."""
        layers = [layer for layer in self._layers if layer is not None]
        if len(layers) < len(self._layers):  # no image is known in all layers
            return np.empty((len(self.first) if self._inverse is None else len(self._inverse), 0), np.float32)
        rows = layers[0] if len(layers) == 1 else np.concatenate(layers, axis=1)
        return rows if self._inverse is None else rows[self._inverse]

    def _fill(self, i: int, images: np.ndarray, rows: np.ndarray) -> None:
        self._dims[i] = rows.shape[1]
        layer = self._layers[i]
        if layer is None and len(images) == len(self.first):
            layer = rows  # as they are: a warm call copies nothing
        else:
            layer = np.full((len(self.first), rows.shape[1]), np.nan, np.float32) if layer is None else layer
            layer[images] = rows
        self._layers[i] = layer
        self._found[i, images] = True

    def _give_up(self, what: str, error: Exception) -> None:
        self.store = None
        message = f"The cache could not be {what}; embeddings are not kept. {error}"
        warn_once(message, StoreWarning, {message})


def encode_missing(
    table: Table,
    encode: Callable[[np.ndarray], int],
    bar: Any,
    check: Callable[[], None] = lambda: None,
    order: Callable[[np.ndarray], np.ndarray] = lambda missing: missing,
) -> int:
    """Encode the images that a table lacks, in chunks of about two seconds, each under the store's lock.

    What another process stored meanwhile is not encoded again.

    Parameters
    ----------
    table : Table
        The images that are known already have been looked up.
    encode : callable
        Takes positions of distinct images, adds and puts their rows, and returns how many it encoded.
    bar : tqdm.tqdm
        Counts images that another process was quicker with.
    check : callable
        Called after each chunk; it may raise.
    order : callable
        Puts positions of distinct images into the order in which they are best read.

    Returns
    -------
    int
        How many images this process encoded.
    """
    missing = order(np.flatnonzero(~table.known))
    start, size, encoded = 0, _FIRST_CHUNK, 0
    while start < len(missing):
        chunk = missing[start : start + size]
        start += len(chunk)
        with table.lock():
            table.look_up(chunk)
            todo = chunk[~table.known[chunk]]
            bar.update(len(chunk) - len(todo))
            if len(todo):
                started = time.perf_counter()
                encoded += encode(todo)
                size = _next_size(size, len(todo) / (time.perf_counter() - started))
        check()
    return encoded


def _next_size(size: int, rate: float) -> int:
    """Approach two seconds' worth of rows in steps: the first rate includes the time of loading."""
    smallest, largest = _CHUNKS
    return int(min(max(rate * _CHUNK_SECONDS, smallest), largest, 4 * size))
