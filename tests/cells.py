"""Cells and stores that a process does not survive, or cannot have; a module that other processes can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from featx import EmbeddingStore
from featx.images import StoredImage


class Deadly(StoredImage):
    """An image that no process survives."""

    def __str__(self) -> str:
        return "deadly"

    def read(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class DeadlyOnce(EmbeddingStore):
    """A store whose first rows are the last ones of the process that wrote them."""

    def put_many(self, fingerprint, keys, rows, meta) -> None:
        super().put_many(fingerprint, keys, rows, meta)
        died = Path(f"{self.location}.died")
        if not died.exists():
            died.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)


class Rooted(EmbeddingStore):
    """A store that keeps its threads' lock when it is pickled, which cannot be."""

    def __getstate__(self):
        return vars(self)
