"""What "auto" stands for, and what is refused before anything native is imported."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
import torch

from featx.exceptions import DeviceError, MissingDependencyError, ParameterError, UnknownNameError
from featx.runtimes import _choose as module
from featx.runtimes import check_devices, check_runtime, choose


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(module, "has_cuda", lambda: False)


@pytest.fixture
def with_cuda(monkeypatch):
    monkeypatch.setattr(module, "has_cuda", lambda: True)


def test_auto_is_openvino_on_a_machine_without_cuda(no_cuda):
    assert choose("auto", "auto") == module.Choice("openvino", ("cpu",))


def test_auto_is_torch_on_the_first_cuda_device_where_there_is_one(with_cuda):
    assert choose("auto", "auto") == module.Choice("torch", ("cuda:0",))
    assert choose("auto", "cpu") == module.Choice("openvino", ("cpu",))


def test_openvino_is_the_processors_also_where_there_is_cuda(with_cuda):
    assert choose("openvino", "auto") == module.Choice("openvino", ("cpu",))


def test_torch_where_openvino_cannot_run(no_cuda, monkeypatch):
    monkeypatch.setattr(module, "_runs_openvino", lambda: False)
    assert choose("auto", "auto") == module.Choice("torch", ("cpu",))


def test_openvino_is_asked_for_and_not_installed(monkeypatch):
    monkeypatch.setattr(module, "_installed", lambda package: False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'featx\[openvino\]'"):
        choose("openvino", "auto")


def test_an_old_processor_gets_torch(monkeypatch):
    core = pytest.importorskip("numpy._core._multiarray_umath")
    monkeypatch.setattr(core, "__cpu_features__", {"AVX2": False})
    module._runs_openvino.cache_clear()
    try:
        assert not module._runs_openvino()
    finally:
        monkeypatch.undo()
        module._runs_openvino.cache_clear()
    assert module._runs_openvino() == (torch.backends.cpu.get_cpu_capability() != "DEFAULT")


def test_a_machine_without_a_driver_is_told_without_torch():
    code = "from featx.runtimes._choose import has_cuda; import sys; print(has_cuda(), 'torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        assert answer == ["False", "False"]
    else:
        assert answer == [str(torch.cuda.is_available()), "True"]


def test_a_family_names_runtime_and_kind_of_device():
    assert choose("torch", ["cuda:0", "cuda:1"]).family == "torch:cuda"
    assert choose("torch", "cpu").family == "torch:cpu"


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:17"])
@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_what_some_machine_has_is_accepted(runtime, device):
    check_runtime(runtime, device)


@pytest.mark.parametrize(
    "device", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "cuda:0:1", "cpu:", "cpu:1", "auto:0", "cuda:²"]
)
def test_a_device_that_no_machine_has_is_refused(device):
    with pytest.raises(UnknownNameError, match="Unknown device"):
        check_runtime("auto", device)


@pytest.mark.parametrize("device", [0, None, torch.device("cpu"), [], [0]])
def test_a_device_that_is_no_name_is_refused(device):
    with pytest.raises(ParameterError, match="Expected a str"):
        check_runtime("auto", device)


@pytest.mark.parametrize("runtime", ["tourch", None, "", 3])
def test_an_unknown_runtime_is_refused_with_those_that_exist(runtime):
    with pytest.raises(UnknownNameError, match="'torch'"):
        check_runtime(runtime, "auto")


@pytest.mark.parametrize("device", [["cuda:0", "cuda:0"], ["cuda:0", "cpu"], ["cuda", "cuda:0"], ("auto", "cuda:1")])
def test_several_devices_are_distinct_and_cuda(device):
    with pytest.raises(ParameterError, match="distinct CUDA devices"):
        check_runtime("auto", device)


def test_openvino_on_cuda_is_refused():
    with pytest.raises(ParameterError, match="Expected device='cpu'"):
        check_runtime("openvino", "cuda:0")


def test_each_of_several_devices_must_be_there():
    n = torch.cuda.device_count()
    with pytest.raises(DeviceError, match=f"device='cuda:{n + 1}'"):
        check_devices([*(f"cuda:{i}" for i in range(n)), f"cuda:{n + 1}"])
