"""What every runtime promises, which networks a process keeps loaded, and on what devices."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import featx
from featx.encoders import resolve
from featx.exceptions import ConversionError, DeviceError, FallbackWarning, UnknownNameError
from featx.runtimes import _loading, get_runtime
from featx.runtimes._loading import SeveralDevices
from featx.runtimes._torch import TorchRuntime
from tests.networks import TINY, Unconvertible, tiny_encoder


@pytest.fixture(scope="module")
def specs() -> list:
    return [resolve(tiny_encoder(seed)) for seed in range(3)]


def images(n: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_a_loaded_network_is_handed_out_again(specs):
    assert get_runtime(specs[0]) is get_runtime(specs[0])


def test_auto_is_the_runtime_and_the_device_that_it_stands_for(specs):
    name, device = ("torch", "cuda:0") if torch.cuda.is_available() else ("openvino", "cpu")
    assert get_runtime(specs[0], "auto", "auto") is get_runtime(specs[0], name, device)
    assert get_runtime(specs[0]).name == name
    assert get_runtime(specs[0]).device == device


def test_each_number_of_processors_has_its_own_openvino_but_torch_is_one(specs):
    assert get_runtime(specs[0], "openvino", n_threads=1) is not get_runtime(specs[0], "openvino", n_threads=2)
    assert get_runtime(specs[0], "torch", n_threads=1) is get_runtime(specs[0], "torch", n_threads=2)


def test_a_network_that_openvino_cannot_take_runs_in_torch_with_one_warning():
    encoder = featx.Encoder.from_module(Unconvertible(), preprocess=TINY, name="odd")
    spec = resolve(encoder)
    with pytest.warns(FallbackWarning, match="'odd' cannot be converted for OpenVINO.*It runs in torch") as caught:
        runtime = get_runtime(spec, device="cpu")
    assert len(caught) == 1
    assert runtime.name == "torch"
    assert get_runtime(spec, device="cpu") is runtime
    np.testing.assert_allclose(runtime.run(images()), (images().mean((1, 2)) / 255 - 0.5) / 0.25, rtol=1e-4)


def test_a_reduced_precision_never_falls_back_to_other_numbers(monkeypatch):
    monkeypatch.setattr("featx.runtimes._openvino._hint", lambda precision: "bf16")
    spec = resolve(featx.Encoder.from_module(Unconvertible(), preprocess=TINY), precision="bfloat16")
    with pytest.raises(ConversionError):
        get_runtime(spec, "openvino")


def test_other_weights_layers_and_poolings_are_other_networks(tiny):
    chosen = [
        resolve(tiny),
        resolve(tiny_encoder(1)),
        resolve(tiny, layers="conv2"),
        resolve(tiny, layers="conv2", pooling="max"),
        resolve(tiny, layers=["conv2", "conv1"]),
    ]
    rows = [get_runtime(specs, device="cpu").run(images())[:, :4] for specs in chosen]
    for i, a in enumerate(rows):
        assert all(not np.allclose(a, b) for b in rows[i + 1 : 4])


def test_the_two_last_used_stay_loaded(specs):
    a, b = get_runtime(specs[0]), get_runtime(specs[1])
    assert get_runtime(specs[0]) is a
    get_runtime(specs[2])
    assert get_runtime(specs[0]) is a
    assert get_runtime(specs[1]) is not b


def test_a_network_that_made_room_for_others_still_runs_for_who_holds_it(specs):
    held = get_runtime(specs[0], device="cpu")
    expected = held.run(images())
    for other in specs[1:]:
        get_runtime(other)
    np.testing.assert_array_equal(held.run(images()), expected)


def test_the_memory_of_the_third_last_network_is_given_back(specs):
    gone = weakref.ref(get_runtime(specs[0]))
    for other in specs[1:]:
        get_runtime(other)
    gc.collect()
    assert gone() is None


def test_close_gives_the_network_back_at_once(specs):
    runtime = get_runtime(specs[0], "torch")
    network = weakref.ref(runtime._network)
    runtime.close()
    gc.collect()
    assert network() is None


def test_four_threads_load_a_network_once_and_get_the_same_rows(specs):
    barrier, found = threading.Barrier(4), []

    def work():
        barrier.wait()
        runtime = get_runtime(specs[0], device="cpu")
        found.append((runtime, runtime.run(images())))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(runtime) for runtime, _ in found}) == 1
    for _, rows in found[1:]:
        np.testing.assert_array_equal(rows, found[0][1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_loads_its_own_network_and_gets_the_same_rows(specs):
    """Also while a thread of the parent holds the lock, and after the parent's threads have run."""
    expected = get_runtime(specs[0], device="cpu").run(images(64))
    reader, writer = os.pipe()
    with _loading._lock:
        child = os.fork()
    if child == 0:
        signal.alarm(120)  # a child that hangs must not hang the tests
        try:
            fresh = not _loading._loaded
            same = np.allclose(get_runtime(specs[0], device="cpu").run(images(64)), expected, rtol=1e-4, atol=1e-6)
            os.write(writer, b"same" if fresh and same else b"not")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"same"
    os.waitpid(child, 0)


def test_a_device_that_this_machine_lacks_says_how_many_it_has(specs):
    n = torch.cuda.device_count()
    with pytest.raises(DeviceError, match=rf"device='cuda:{n}'; this machine has {n} CUDA"):
        get_runtime(specs[0], device=f"cuda:{n}")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_is_its_first_device(specs):
    with pytest.raises(DeviceError, match=r"device='cuda:0'.*Use device='auto'"):
        get_runtime(specs[0], device="cuda")


def test_a_network_that_could_not_be_loaded_takes_no_room(tiny, specs):
    kept = [get_runtime(spec) for spec in specs[:2]]
    with pytest.raises(UnknownNameError):
        get_runtime(resolve(tiny, layers="nothing"))
    assert [get_runtime(spec) for spec in specs[:2]] == kept


# --- what every runtime promises


MAKERS = {
    "openvino": lambda specs: get_runtime(specs, "openvino", n_threads=2),
    "torch": lambda specs: get_runtime(specs, "torch", "cpu"),
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
    _loading._loaded.clear()
    runtime.run(np.zeros((1, 32, 32, 3), np.uint8))
    parts = [vars(part) for part in getattr(runtime, "_runtimes", [runtime])]
    networks = [weakref.ref(part.get("_network") or part["_model"]) for part in parts]
    runtime.close()
    gc.collect()
    assert [network() for network in networks] == [None] * len(networks)
    assert not any(part.get("_free") for part in parts)


# --- several devices


@pytest.fixture
def pair(tiny):
    return [TorchRuntime(resolve(tiny), "cpu") for _ in range(2)]


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_each_caller_gets_its_own_rows_and_every_device_has_work(pair, monkeypatch):
    ran, meet = [], threading.Barrier(2, timeout=600)
    for i, runtime in enumerate(pair):

        def noting(batch, *, alone=False, i=i, run=runtime.run):
            if len(ran) < 2:
                ran.append(i)
                meet.wait()
            return run(batch, alone=alone)

        monkeypatch.setattr(runtime, "run", noting)
    several = SeveralDevices(pair)
    batches = [noise(3, seed) for seed in range(8)]
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
    assert several.run(noise(2)).shape == (2, 8)


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
