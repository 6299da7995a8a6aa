"""What every runtime promises."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from featx.encoders import resolve
from featx.runtimes._openvino import OpenVinoRuntime
from featx.runtimes._several import SeveralDevices
from featx.runtimes._torch import TorchRuntime

MAKERS = {
    "openvino": lambda specs: OpenVinoRuntime(specs, 2),
    "torch": lambda specs: TorchRuntime(specs, "cpu"),
    "several": lambda specs: SeveralDevices([TorchRuntime(specs, "cpu") for _ in range(2)]),
}


@pytest.fixture(params=sorted(MAKERS))
def runtime(request, tiny):
    return MAKERS[request.param](resolve(tiny, layers=["feature", "conv1"]))


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("alone", [False, True])
def test_pixels_in_rows_of_all_layers_out(runtime, n, alone):
    batch = np.random.default_rng(n).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    rows = runtime.run(batch, alone=alone)
    assert rows.shape == (n, sum(runtime.dims))
    assert rows.dtype == np.float32
    assert runtime.dims == (8, 6)


def test_it_says_what_it_is_and_what_it_runs_best(runtime):
    assert runtime.name in ("openvino", "torch")
    assert runtime.device.startswith("cpu")
    assert runtime.batch_size >= 1


def test_it_gives_its_networks_back_when_it_is_closed(runtime):
    runtime.run(np.zeros((1, 32, 32, 3), np.uint8))
    parts = [vars(part) for part in getattr(runtime, "_runtimes", [runtime])]
    networks = [weakref.ref(part.get("_network") or part["_model"]) for part in parts]
    runtime.close()
    gc.collect()
    assert [network() for network in networks] == [None] * len(networks)
    assert not any(part.get("_free") for part in parts)
