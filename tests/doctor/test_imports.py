from __future__ import annotations

import importlib.metadata

import pytest

from featx.doctor._finding import Finding
from featx.doctor._imports import _with_gpu, advise, check_import


def test_what_loads_tells_its_version():
    assert str(check_import("numpy")) == f"ok    import numpy: {importlib.metadata.version('numpy')}"
    assert check_import("PIL").status == "ok"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Makes a package whose import does something."""

    def make(code: str) -> Finding:
        (tmp_path / "broken_package.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        return check_import("broken_package")

    return make


@pytest.mark.parametrize(
    ("code", "value", "advice"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
            "crashed with SIGILL",
            "for a newer processor",
        ),
        ('raise ImportError("version `GLIBCXX_3.4.32\' not found")', "GLIBCXX_3.4.32", "libstdc++6"),
        ('raise ImportError("version `GLIBC_2.38\' not found")', "GLIBC_2.38", "this Linux is too old"),
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "libgomp", "missing library"),
        ("raise ImportError('DLL load failed while importing _C')", "DLL load failed", "Visual C++"),
        ("raise RuntimeError('who knows')", "RuntimeError: who knows", "reinstall it: pip install --force-reinstall"),
    ],
)
def test_an_import_that_fails_says_how_and_what_to_do(broken, code, value, advice):
    finding = broken(code)
    assert (finding.status, finding.what) == ("bad", "import broken_package")
    assert value in finding.value
    assert advice in finding.advice


def test_a_package_that_loads_is_ok(broken):
    assert broken("").status == "ok"


def test_a_package_that_is_not_there_is_bad():
    assert str(check_import("nowhere")).startswith("bad   import nowhere: not installed")


def test_advice_is_given_for_a_numpy_of_another_time():
    text = "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1"
    assert "does not fit this numpy" in advise(text, "torch")


def test_a_torch_that_does_not_use_the_gpu_is_a_warning():
    cpu = Finding("ok", "import torch", "2.6, CPU only")
    assert _with_gpu(cpu).status == "warn"
    for other in (Finding("ok", "import torch", "2.6, uses the GPU"), Finding("ok", "import numpy", "2")):
        assert _with_gpu(other) is other
