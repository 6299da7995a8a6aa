from __future__ import annotations

import pytest

from featx.runtimes import _loading


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    """Every test loads its networks itself."""
    monkeypatch.setattr(_loading, "_loaded", type(_loading._loaded)())


@pytest.fixture
def own_graphs(tmp_path, monkeypatch):
    """No graph is kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "fresh"))
