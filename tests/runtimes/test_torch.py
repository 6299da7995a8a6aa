"""Eager PyTorch gives the numbers of the network as it was published, in the precision that was asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import featx
from featx.encoders import build_network, resolve
from featx.exceptions import DeviceError, FallbackWarning, ParameterError, UnknownNameError
from featx.runtimes import check_precision, get_runtime
from tests.networks import TINY, Detour, make_tiny, tiny_encoder

SMALL = featx.Preprocess(size=64, fit="squash")


def batch_of(images, spec) -> np.ndarray:
    return np.stack([spec.preprocess(Image.fromarray(image)) for image in images])


def relative_l2(a, b):
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_rows_are_those_of_the_unfolded_network(name, crops):
    specs = resolve(name, weights="random", preprocess=SMALL)
    batch = batch_of(crops[:2], specs[0])
    with torch.no_grad():
        (expected,) = build_network(specs)(torch.from_numpy(batch))
    rows = get_runtime(specs, "torch", "cpu").run(batch)
    assert rows.dtype == np.float32
    assert rows.shape == (2, specs[0].dim)
    assert relative_l2(rows, expected.numpy()).max() < 1e-4


def test_rows_of_the_default_encoder_are_those_of_the_unfolded_network_and_nothing_is_left_to_fold(photos):
    specs = resolve("efficientnet_lite0")
    batch = batch_of(photos, specs[0])
    with torch.no_grad():
        (expected,) = build_network(specs)(torch.from_numpy(batch))
    runtime = get_runtime(specs, "torch", "cpu")
    assert relative_l2(runtime.run(batch), expected.numpy()).max() < 1e-4
    assert not [m for m in runtime._network.modules() if isinstance(m, nn.BatchNorm2d)]


def test_a_row_does_not_depend_on_the_size_of_its_batch(crops):
    specs = resolve("efficientnet_lite0")
    runtime = get_runtime(specs, "torch", "cpu")
    batch = batch_of(crops[:32], specs[0])
    whole = runtime.run(batch)
    for size in (1, 8):
        parts = np.vstack([runtime.run(batch[i : i + size]) for i in range(0, 8, size)])
        assert relative_l2(parts, whole[:8]).max() <= 1e-5


def test_several_layers_stand_side_by_side(tiny, crops):
    specs = resolve(tiny, layers=["conv1", "feature", "logits"], pooling="max")
    runtime = get_runtime(specs, "torch", "cpu")
    batch = batch_of(crops[:3], specs[0])
    rows = runtime.run(batch)
    assert runtime.dims == (6, 8, 3)
    alone = [get_runtime([spec], "torch", "cpu").run(batch) for spec in specs]
    np.testing.assert_allclose(rows, np.hstack(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", ["conv1", "norm1"])
def test_a_tapped_node_gives_its_own_output_and_not_the_folded_one(layer, tiny, crops):
    specs = resolve(tiny, layers=layer)
    batch = batch_of(crops[:3], specs[0])
    x = (torch.from_numpy(batch).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    network = make_tiny().eval()
    with torch.no_grad():
        expected = network.conv1(x) if layer == "conv1" else network.norm1(network.conv1(x))
    rows = get_runtime(specs, "torch", "cpu").run(batch)
    np.testing.assert_allclose(rows, expected.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_a_batch_that_cannot_be_written_or_has_gaps_is_taken(tiny, crops):
    specs = resolve(tiny)
    runtime = get_runtime(specs, "torch", "cpu")
    batch = batch_of(crops[:6], specs[0])
    expected = runtime.run(batch)
    batch.flags.writeable = False
    np.testing.assert_array_equal(runtime.run(batch), expected)
    np.testing.assert_allclose(runtime.run(batch[::-2]), expected[::-2], rtol=1e-5, atol=1e-6)


def test_threads_share_a_runtime_and_get_their_own_rows(tiny, crops):
    specs = resolve(tiny)
    runtime = get_runtime(specs, "torch", "cpu")
    batches = [batch_of(crops[i::4], specs[0]) for i in range(4)]
    expected = [runtime.run(batch) for batch in batches]
    differences = []

    def work(i):
        differences.extend(np.abs(runtime.run(batches[i]) - expected[i]).max() for _ in range(30))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert differences == [0] * 120


# --- layout, modes, sizes


class Flat(nn.Module):
    """Relies on the memory layout: x.view fails on channels last."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(5 * 30 * 30, 4)

    def forward(self, x):
        return self.fc(self.conv(x).view(len(x), -1))


def test_a_network_that_relies_on_the_memory_layout_still_runs(crops):
    module = Flat()
    encoder = featx.Encoder.from_module(module, preprocess=TINY)
    (spec,) = resolve(encoder, layers="logits")
    batch = batch_of(crops[:3], spec)
    with torch.no_grad():
        expected = module((torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous() / 255 - 0.5) / 0.25)
    np.testing.assert_allclose(get_runtime([spec], "torch", "cpu").run(batch), expected, rtol=1e-4, atol=1e-5)


class Forgetful(nn.Sequential):
    """In training mode it would drop most of what it sees."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 64, 3), nn.Dropout(0.9), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_the_network_runs_in_eval_mode_although_it_came_in_training_mode(crops):
    runtime = get_runtime(resolve(featx.Encoder.from_module(Forgetful().train(), preprocess=TINY)), "torch", "cpu")
    batch = batch_of(crops[:1], resolve(tiny_encoder())[0])
    rows = runtime.run(batch)
    assert (rows != 0).all()
    np.testing.assert_array_equal(runtime.run(batch), rows)


def test_a_default_device_of_the_process_changes_nothing(tiny, crops):
    specs = resolve("squeezenet1_1", weights="random", preprocess=SMALL)
    batch = batch_of(crops[:2], specs[0])
    expected = get_runtime(specs, "torch", "cpu").run(batch)
    with torch.device("meta"):
        runtime = get_runtime(specs, "torch", "cpu")
        np.testing.assert_array_equal(runtime.run(batch), expected)


def test_loading_and_running_leave_the_random_state_alone(tiny, crops):
    before = torch.get_rng_state()
    specs = resolve("squeezenet1_1", weights="random", preprocess=SMALL)
    get_runtime(specs, "torch", "cpu").run(batch_of(crops[:1], specs[0]))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_size_that_the_network_cannot_take_is_said(tiny):
    specs = resolve(tiny, preprocess=featx.Preprocess(size=2))
    with pytest.raises(ParameterError, match="'tiny0' cannot take images of 2 x 2"):
        get_runtime(specs, "torch", "cpu")


def test_an_unknown_layer_gets_its_close_matches(tiny):
    with pytest.raises(UnknownNameError, match="Did you mean 'conv2' or 'conv1'"):
        get_runtime(resolve(tiny, layers="conv3"), "torch", "cpu")


def test_a_layer_that_never_runs_is_said():
    encoder = featx.Encoder.from_module(Detour(), preprocess=TINY)
    with pytest.raises(ParameterError, match=r"never reaches layer 'unused'") as caught:
        get_runtime(resolve(encoder, layers="unused"), "torch", "cpu")
    assert "cannot take images" not in str(caught.value)


# --- precision


def precisions() -> list:
    """What decides on the CPU."""
    backends = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        return [backends.mkldnn.matmul.fp32_precision, backends.mkldnn.conv.fp32_precision]
    return [backends.cuda.matmul.allow_tf32]


@pytest.fixture
def reduced_precision():
    """What a user may have set for their own training; the old settings are put back."""
    backends = torch.backends
    if not hasattr(backends.cuda.matmul, "fp32_precision"):
        owners = [(backends.cuda.matmul, "allow_tf32", True), (backends.cudnn, "allow_tf32", True)]
    else:
        owners = [
            (backends.cuda.matmul, "fp32_precision", "tf32"),
            (backends.cudnn.conv, "fp32_precision", "tf32"),
            (backends.mkldnn.matmul, "fp32_precision", "bf16"),
            (backends.mkldnn.conv, "fp32_precision", "bf16"),
        ]
    before = [getattr(owner, name) for owner, name, _ in owners]
    for owner, name, value in owners:
        setattr(owner, name, value)
    yield
    for (owner, name, _), value in zip(owners, before, strict=True):
        setattr(owner, name, value)


class Spy(nn.Module):
    """Notes the precision that it runs under."""

    seen: list = []  # noqa: RUF012 - one list, also for copies

    def forward(self, x):
        self.seen.append(precisions())
        return x.mean((2, 3))


def test_float32_is_ieee_while_the_network_runs_and_the_users_precision_is_put_back(reduced_precision, crops):
    before = precisions()
    specs = resolve(featx.Encoder.from_module(Spy(), preprocess=TINY))
    runtime = get_runtime(specs, "torch", "cpu")
    Spy.seen.clear()
    runtime.run(batch_of(crops[:1], specs[0]))
    assert len(Spy.seen) == 1
    assert set(Spy.seen[0]) <= {"ieee", False}
    assert precisions() == before != Spy.seen[0]


def test_the_users_precision_is_put_back_by_the_last_of_several_threads(reduced_precision, tiny, crops):
    before, batch = precisions(), batch_of(crops[:1], resolve(tiny)[0])
    first, second = (get_runtime(resolve(tiny_encoder(seed)), "torch", "cpu") for seed in range(2))
    entered, leave, seen = threading.Event(), threading.Event(), []

    def wait_inside(*_):
        entered.set()
        leave.wait(600)
        seen.append(precisions())

    first._network.register_forward_hook(wait_inside)
    thread = threading.Thread(target=first.run, args=(batch,))
    thread.start()
    assert entered.wait(600)
    second.run(batch)  # begins and ends while the first runs
    leave.set()
    thread.join()
    assert set(seen[0]) <= {"ieee", False}
    assert precisions() == before


# --- memory


class Full(nn.Module):
    """A device that has memory for three images at once."""

    def forward(self, x):
        if len(x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.mean((2, 3))


def test_a_full_device_gets_half_the_batch_with_one_warning(crops):
    specs = resolve(featx.Encoder.from_module(Full(), preprocess=TINY))
    runtime = get_runtime(specs, "torch", "cpu")
    batch = batch_of(crops[:10], specs[0])
    with pytest.warns(FallbackWarning, match="no memory for 10 images at once.* 5 or less") as caught:
        rows = runtime.run(batch)
    assert len(caught) == 1
    expected = (torch.from_numpy(batch).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(rows, expected.mean((2, 3)), rtol=1e-4, atol=1e-5)
    runtime.run(batch)  # without another warning


def test_a_few_images_that_find_no_room_set_no_limit(crops):
    specs = resolve(featx.Encoder.from_module(Full(), preprocess=TINY))
    runtime = get_runtime(specs, "torch", "cpu")
    with pytest.warns(FallbackWarning):
        runtime.run(batch_of(crops[:4], specs[0]))
    assert runtime._limit is None
    runtime.run(batch_of(crops[:32], specs[0]))
    assert runtime._limit == 2


def test_threads_that_find_a_full_device_get_their_own_rows(crops):
    specs = resolve(featx.Encoder.from_module(Full(), preprocess=TINY))
    runtime = get_runtime(specs, "torch", "cpu")
    batches = [batch_of(crops[i : i + 32], specs[0]) for i in range(8)]
    with pytest.warns(FallbackWarning), ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(runtime.run, batches))
    for batch, got in zip(batches, rows, strict=True):
        expected = (torch.from_numpy(batch).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
        np.testing.assert_allclose(got, expected.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_a_device_without_memory_for_one_image_says_so(crops, monkeypatch):
    specs = resolve(featx.Encoder.from_module(Full(), preprocess=TINY))
    runtime = get_runtime(specs, "torch", "cpu")

    def full(_pixels):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(runtime, "_network", full)
    with pytest.raises(torch.OutOfMemoryError), pytest.warns(FallbackWarning):
        runtime.run(batch_of(crops[:4], specs[0]))


class Stubborn(nn.Module):
    """Makes float32 tensors of its own."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(x.mean((2, 3)) + torch.zeros(3))


def test_a_network_that_cannot_run_in_a_precision_is_said():
    encoder = featx.Encoder.from_module(Stubborn(), preprocess=TINY)
    with pytest.raises(ParameterError, match="'Stubborn' cannot run with precision='bfloat16'"):
        get_runtime(resolve(encoder, precision="bfloat16", layers="logits"), "torch", "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "vit_b_32"])
def test_cuda_agrees_with_the_cpu(name, photos, reduced_precision):
    weights = "default" if name == "efficientnet_lite0" else "random"
    specs = resolve(name, weights=weights)
    batch = batch_of(photos, specs[0])
    assert (
        relative_l2(
            get_runtime(specs, "torch", "cuda:0").run(batch), get_runtime(specs, "torch", "cpu").run(batch)
        ).max()
        < 1e-4
    )


# --- what a precision means


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


def test_bfloat16_is_near_float32_and_not_the_same(photos):
    specs = [resolve("efficientnet_lite0", precision=precision) for precision in ("float32", "bfloat16")]
    batch = np.stack([specs[0][0].preprocess(image) for image in pil(photos)])
    exact, reduced = (get_runtime(spec, "torch", "cpu").run(batch) for spec in specs)
    assert reduced.dtype == np.float32
    assert 1e-4 < np.linalg.norm(reduced - exact) / np.linalg.norm(exact) < 0.2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "most"), [("tf32", 0.01), ("float16", 0.02), ("bfloat16", 0.2)])
def test_cuda_agrees_with_float32_to_what_a_precision_states(precision, most, crops):
    specs = [resolve("efficientnet_lite0", precision=p) for p in ("float32", precision)]
    batch = np.stack([specs[0][0].preprocess(image) for image in pil(crops[:4])])
    exact, reduced = (get_runtime(spec, "torch", "cuda:0").run(batch) for spec in specs)
    assert 0 < np.linalg.norm(reduced - exact) / np.linalg.norm(exact) < most


def pil(arrays):
    from PIL import Image

    return [Image.fromarray(array) for array in arrays]
