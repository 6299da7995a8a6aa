"""What a precision means in torch."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from featx.encoders import resolve
from featx.exceptions import DeviceError
from featx.runtimes._precision import check_precision, float32_mode
from featx.runtimes._torch import TorchRuntime


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_what_a_processor_does_not_run_is_refused_with_what_it_does(precision):
    with pytest.raises(DeviceError, match="Expected one of 'float32', 'bfloat16' on 'cpu'"):
        check_precision(precision, "cpu")


@pytest.mark.parametrize(("capability", "refused"), [((7, 5), ["tf32", "bfloat16"]), ((8, 0), []), ((9, 0), [])])
def test_a_gpu_runs_what_its_tensor_cores_take(capability, refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    for precision in ("float32", "tf32", "bfloat16", "float16"):
        if precision in refused:
            with pytest.raises(DeviceError, match="'float16' on 'cuda:0'"):
                check_precision(precision, "cuda:0")
        else:
            check_precision(precision, "cuda:0")


def test_modes_take_turns_and_the_last_puts_the_settings_back():
    before, order, inside = settings(), [], threading.Event()

    def other():
        with float32_mode("tf32", "cuda:0"):
            order.append(settings())

    with float32_mode("ieee", "cuda:0"):
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(0.2)
        order.append(settings())
    thread.join(60)
    assert order in (["ieee", "tf32"], [False, True])
    assert settings() == before


def test_settings_that_followed_a_wider_one_still_do_and_the_others_stay():
    """In a process of its own: what a process has set once it cannot unset."""
    if not hasattr(torch.backends.mkldnn, "fp32_precision"):
        pytest.skip("torch 2.9 has these settings")
    answer = subprocess.run([sys.executable, "-c", FOLLOWING], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["ieee", "True", "bf16", "ieee", "bf16"]


FOLLOWING = """
import torch
from featx.runtimes._precision import float32_mode
matmul, conv = torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv
with float32_mode("ieee", "cpu"):
    print(matmul.fp32_precision, torch.backends.cudnn.allow_tf32)  # the older flag still works
torch.backends.mkldnn.fp32_precision = "bf16"
print(matmul.fp32_precision)
conv.fp32_precision = "bf16"
with float32_mode("ieee", "cpu"):
    print(conv.fp32_precision)
print(conv.fp32_precision)
"""


def settings():
    """How CUDA multiplies float32: by torch's newer name of it, or its older."""
    matmul = torch.backends.cuda.matmul
    return matmul.fp32_precision if hasattr(matmul, "fp32_precision") else matmul.allow_tf32


def test_bfloat16_is_near_float32_and_not_the_same(photos):
    specs = [resolve("efficientnet_lite0", precision=precision) for precision in ("float32", "bfloat16")]
    batch = np.stack([specs[0][0].preprocess(image) for image in pil(photos)])
    exact, reduced = (TorchRuntime(spec, "cpu").run(batch) for spec in specs)
    assert reduced.dtype == np.float32
    assert 1e-4 < np.linalg.norm(reduced - exact) / np.linalg.norm(exact) < 0.2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "most"), [("tf32", 0.01), ("float16", 0.02), ("bfloat16", 0.2)])
def test_cuda_agrees_with_float32_to_what_a_precision_states(precision, most, crops):
    specs = [resolve("efficientnet_lite0", precision=p) for p in ("float32", precision)]
    batch = np.stack([specs[0][0].preprocess(image) for image in pil(crops[:4])])
    exact, reduced = (TorchRuntime(spec, "cuda:0").run(batch) for spec in specs)
    assert 0 < np.linalg.norm(reduced - exact) / np.linalg.norm(exact) < most


def pil(arrays):
    from PIL import Image

    return [Image.fromarray(array) for array in arrays]
