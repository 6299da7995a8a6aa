from __future__ import annotations

import pytest

from featx.adapt import _evaluate
from featx.adapt._methods import candidates


@pytest.fixture
def one_value(monkeypatch):
    """Tuning tries one value of a parameter: the rest of a comparison is asked, sooner."""
    monkeypatch.setattr(_evaluate, "candidates", lambda name, setting: candidates(name, setting)[-1:])
