"""What a store of embeddings has to offer: three methods, digest -> row. Knows no images and no torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np

KEY_BYTES = 16


@runtime_checkable
class Store(Protocol):
    """The whole contract; ``cache=`` takes any object that has these methods.

    A *key* is the 16-byte digest of an image or a text, a *fingerprint* the
    hex digest of everything that changes the numbers. Rows under one
    fingerprint all have one length.

    Notes
    -----
    A store of your own, in a database or a cache server, is a class with these three methods; it need not inherit
    anything. What it must promise is little: the row of a key is the row that was put under it, or none. It may forget
    rows, which are encoded again. An error that it raises costs the caching with a `featx.exceptions.StoreWarning`,
    never the result. Threads may share it; where processes do (``n_jobs=``), it has to be picklable, and
    ``__sklearn_clone__`` should return itself, so that clones of an encoder share it as well.

    A store that keeps rows less exactly than it is given them has a fourth method, ``round(rows)``, of shape (n, dim):
    it gives rows back as they will be read, so that a first call returns what later ones do.

    `featx.testing.StoreConformance` has the tests that every store must pass, and `featx.testing.MemoryStore` is the
    shortest store that does.
    """

    def get_many(self, fingerprint: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up rows.

        Parameters
        ----------
        fingerprint : str
        keys : ndarray of shape (n, 16), uint8

        Returns
        -------
        found : ndarray of shape (n,), bool
        rows : ndarray of shape (found.sum(), dim), float32
            In the order of `keys`; of shape (0, 0) where nothing is known.
        """
        ...

    def put_many(self, fingerprint: str, keys: np.ndarray, rows: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Keep rows; a key that is there already may be written again, with the same row.

        Parameters
        ----------
        fingerprint : str
        keys : ndarray of shape (n, 16), uint8
        rows : ndarray of shape (n, dim), float32
            Rows with NaN are left out.
        meta : mapping
            ``"encoder"``: what the fingerprint was taken over, with a name;
            the rest (runtime, device, seconds) describes this write.
        """
        ...

    def lock(self, fingerprint: str) -> AbstractContextManager[None]:
        """Take turns at missing rows with the other processes of this machine.

        Under it a chunk is looked up once more, encoded and put. Correctness
        does not need it: two writers of one key write the same row.
        """
        ...
