from __future__ import annotations

import numpy as np
import pytest
import torch

from featx.exceptions import DeviceError
from featx.runtimes._tensor import to_device


def test_on_the_processor_the_tensor_shares_the_arrays_memory():
    rows = np.ones((3, 2), np.float32)
    tensor = to_device(rows, "auto", "cpu")
    rows[0, 0] = 7
    assert tensor[0, 0] == 7
    assert tensor.dtype == torch.float32


def test_a_device_that_is_not_there_is_said():
    with pytest.raises(DeviceError, match="cuda:31"):
        to_device(np.ones((1, 1), np.float32), "torch", "cuda:31")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_tensor_is_on_the_first_device():
    assert str(to_device(np.ones((3, 2), np.float32), "auto", "auto").device) == "cuda:0"
