"""Which networks a process keeps loaded, and on what device."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
import torch

import featx
from featx.encoders import resolve
from featx.exceptions import ConversionError, DeviceError, FallbackWarning, UnknownNameError
from featx.runtimes import _loading, get_runtime
from tests.networks import TINY, Unconvertible, tiny_encoder


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    monkeypatch.setattr(_loading, "_loaded", type(_loading._loaded)())


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


NEW_NETWORK_IN_A_CHILD = """
import os, signal, sys
import numpy as np
from featx.encoders import resolve
from featx.runtimes import get_runtime
batch = np.zeros((8, 64, 64, 3), np.uint8)
import featx
small = featx.Preprocess(size=64)
get_runtime(resolve("resnet18", weights="random", preprocess=small), "openvino").run(batch)
child = os.fork()
if child == 0:
    signal.alarm(100)
    get_runtime(resolve("resnet18", weights="random:1", preprocess=small), "openvino").run(batch)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_converts_a_network_that_is_new():
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", NEW_NETWORK_IN_A_CHILD], timeout=300)
    assert answer.returncode == 0


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
