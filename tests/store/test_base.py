from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from tests.store.conformance import StoreConformance


class DictStore:
    """The contract in a few lines."""

    def __init__(self):
        self._rows: dict[tuple[str, bytes], np.ndarray] = {}

    def get_many(self, fingerprint, keys):
        known = [self._rows.get((fingerprint, key.tobytes())) for key in keys]
        rows = [row for row in known if row is not None]
        return np.array([row is not None for row in known], bool), np.array(rows) if rows else np.empty(
            (0, 0), np.float32
        )

    def put_many(self, fingerprint, keys, rows, meta):
        for key, row in zip(keys, rows, strict=True):
            if not np.isnan(row).any():
                self._rows[fingerprint, key.tobytes()] = row

    def lock(self, fingerprint):
        return nullcontext()


class TestDictStore(StoreConformance):
    @pytest.fixture
    def store(self):
        return DictStore()


class TestEmbeddingStore(StoreConformance):
    """On the fixture of conftest: an EmbeddingStore in a folder of its own."""
