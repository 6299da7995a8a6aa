"""Several devices share the work, and rows come back to who asked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import featx
from featx.encoders import resolve
from featx.runtimes._several import SeveralDevices
from featx.runtimes._torch import TorchRuntime


@pytest.fixture
def pair(tiny):
    return [TorchRuntime(resolve(tiny), "cpu") for _ in range(2)]


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_each_caller_gets_its_own_rows_and_every_device_has_work(pair, monkeypatch):
    ran, meet = [], threading.Barrier(2, timeout=60)
    for i, runtime in enumerate(pair):

        def noting(batch, *, alone=False, i=i, run=runtime.run):
            if len(ran) < 2:
                ran.append(i)
                meet.wait()
            return run(batch, alone=alone)

        monkeypatch.setattr(runtime, "run", noting)
    several = SeveralDevices(pair)
    batches = [images(3, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(several.run, batches))
    monkeypatch.undo()
    for batch, got in zip(batches, rows, strict=True):
        np.testing.assert_allclose(got, pair[0].run(batch), rtol=1e-5, atol=1e-6)
    assert set(ran) == {0, 1}


def test_a_device_is_free_again_after_an_error(pair):
    several = SeveralDevices(pair)
    for _ in range(6):
        with pytest.raises(Exception, match=r"."):
            several.run(np.zeros((1, 3), np.uint8))
    assert several.run(images(2)).shape == (2, 8)


def test_it_names_its_devices(pair):
    assert SeveralDevices(pair).device == "cpu,cpu"
    assert SeveralDevices(pair).dims == (8,)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_give_the_rows_of_one(tiny, crops):
    rows = [
        featx.ImageEncoder(tiny, device=device, cache=False, batch_size=4).transform(crops)
        for device in (["cuda:0", "cuda:1"], "cuda:0")
    ]
    np.testing.assert_allclose(*rows, rtol=1e-4, atol=1e-5)
