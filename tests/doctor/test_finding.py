from __future__ import annotations

from featx.doctor import Finding


def test_a_finding_is_a_line():
    assert str(Finding("ok", "memory", "8 GB")) == "ok    memory: 8 GB"
    assert str(Finding("warn", "memory", "8 MB", "buy some")) == "warn  memory: 8 MB  -> buy some"
