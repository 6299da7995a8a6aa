from __future__ import annotations

import pytest

from featx.runtimes import _loading


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    """Every test loads its networks itself."""
    monkeypatch.setattr(_loading, "_loaded", type(_loading._loaded)())
