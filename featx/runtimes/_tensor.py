"""Embeddings as a tensor on the device, for estimators that train there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from featx.exceptions import DeviceError
from featx.runtimes._choose import choose


def to_device(embeddings: np.ndarray, runtime: str, device: str | Sequence[str]) -> torch.Tensor:
    """Move embeddings to the (first) device that an encoder runs on.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim), float32
    runtime, device : as in `ImageEncoder`

    Returns
    -------
    torch.Tensor of shape (n, dim), float32
        On the CPU it shares the array's memory.
    """
    first = choose(runtime, device).devices[0]
    if first != "cpu" and int(first.removeprefix("cuda:")) >= torch.cuda.device_count():
        raise DeviceError(
            f"Got device={device!r} inside array API dispatch, and this machine lacks it. Use device='auto'."
        )
    return torch.from_numpy(embeddings).to(first)
