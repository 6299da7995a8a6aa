"""OpenVINO gives torch's numbers, whatever the batch and whoever else runs; converted graphs are kept."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading

import numpy as np
import openvino
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import DenseNet, RegNet, SwinTransformer
from torchvision.models.regnet import BlockParams

import featx
from featx.encoders import resolve
from featx.exceptions import ConversionError, DeviceError, StoreWarning
from featx.images import Preprocess
from featx.runtimes import _graphs, _kept, get_runtime, load_graph
from featx.runtimes._graphs import convert, graph_file
from tests.networks import TINY, Unconvertible, make_tiny, tiny_encoder

HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def batch_of(images, spec) -> np.ndarray:
    return np.stack([spec.preprocess(Image.fromarray(image)) for image in images])


def relative_l2(a, b):
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


def check_rows(specs, crops):
    batch = batch_of(crops[:3], specs[0])
    rows = get_runtime(specs, "openvino", n_threads=2).run(batch)
    assert rows.dtype == np.float32
    assert rows.shape == (3, specs[0].dim)
    assert relative_l2(rows, get_runtime(specs, "torch", "cpu").run(batch)).max() < 1e-4


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v3_small"])
def test_rows_are_those_of_torch(name, crops):
    weights = "default" if "lite" in name else "random"
    check_rows(resolve(name, weights=weights, preprocess=Preprocess(size=64, fit="squash")), crops)


@pytest.mark.parametrize(
    "build",
    [
        lambda: DenseNet(8, (2, 2, 2), 16),
        lambda: RegNet(BlockParams.from_init_params(depth=6, w_0=16, w_a=16, w_m=2.2, group_width=8, se_ratio=0.25)),
        lambda: SwinTransformer([4, 4], 24, [2, 2, 2], [2, 4, 8], [7, 7]),
    ],
    ids=["densenet", "regnet_y", "swin"],
)
def test_rows_of_a_small_member_of_a_family_are_those_of_torch(build, crops):
    torch.manual_seed(0)
    check_rows(resolve(featx.Encoder.from_module(build(), preprocess=Preprocess(size=64, fit="squash"))), crops)


def test_a_row_does_not_depend_on_its_batch_or_on_who_else_runs(crops):
    specs = resolve("efficientnet_lite0")
    runtime = get_runtime(specs, "openvino", n_threads=2)
    batch = batch_of(crops[:8], specs[0])
    whole = runtime.run(batch)
    for size in (1, 3):
        parts = np.vstack([runtime.run(batch[i : i + size]) for i in range(0, 8, size)])
        assert relative_l2(parts, whole).max() <= 1e-5
    assert relative_l2(runtime.run(batch, alone=True), whole).max() <= 1e-5


def test_several_layers_stand_side_by_side(tiny, crops):
    specs = resolve(tiny, layers=["conv1", "feature", "logits"])
    runtime = get_runtime(specs, "openvino", n_threads=2)
    batch = batch_of(crops[:3], specs[0])
    assert runtime.dims == (6, 8, 3)
    expected = get_runtime(specs, "torch", "cpu").run(batch)
    np.testing.assert_allclose(runtime.run(batch), expected, rtol=1e-4, atol=1e-5)


def test_threads_share_a_runtime_and_get_their_own_rows(tiny, crops):
    specs = resolve(tiny)
    runtime = get_runtime(specs, "openvino", n_threads=2)
    batches = [batch_of(crops[i::4], specs[0]) for i in range(4)]
    expected = [runtime.run(batch) for batch in batches]
    differences = []

    def work(i):
        differences.extend(np.abs(runtime.run(batches[i], alone=i == 3) - expected[i]).max() for _ in range(30))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(differences) == 120
    assert max(differences) < 1e-5


def test_a_batch_that_cannot_be_written_or_has_gaps_is_taken(tiny, crops):
    specs = resolve(tiny)
    runtime = get_runtime(specs, "openvino", n_threads=1)
    batch = batch_of(crops[:6], specs[0])
    expected = runtime.run(batch)
    batch.flags.writeable = False
    np.testing.assert_array_equal(runtime.run(batch), expected)
    np.testing.assert_allclose(runtime.run(batch[::-2]), expected[::-2], rtol=1e-5, atol=1e-6)


def test_rows_stay_when_the_next_batch_runs(tiny, crops):
    specs = resolve(tiny)
    runtime = get_runtime(specs, "openvino", n_threads=1)
    first = runtime.run(batch_of(crops[:2], specs[0]))
    kept = first.copy()
    runtime.run(batch_of(crops[2:4], specs[0]))
    np.testing.assert_array_equal(first, kept)


def test_float32_is_asked_for_by_name(tiny, monkeypatch):
    """OpenVINO's own default is bfloat16 where the processor has it."""
    asked = []
    compile_model = openvino.Core.compile_model

    def noting(self, model, device, settings):
        asked.append(settings)
        return compile_model(self, model, device, settings)

    runtime = get_runtime(resolve(tiny), "openvino", n_threads=2)
    monkeypatch.setattr(openvino.Core, "compile_model", noting)
    runtime.run(np.zeros((1, 32, 32, 3), np.uint8))
    assert [settings["INFERENCE_PRECISION_HINT"] for settings in asked] == ["f32"]


def test_bfloat16_is_near_float32_where_the_processor_has_it_and_else_refused(photos):
    specs = resolve("efficientnet_lite0"), resolve("efficientnet_lite0", precision="bfloat16")
    if not HAS_BF16:
        with pytest.raises(DeviceError, match=r"Expected 'float32' on this processor\. Bfloat16 needs"):
            get_runtime(specs[1], "openvino", n_threads=2)
        return
    batch = batch_of(photos, specs[0][0])  # sharp ones: of small, blown-up crops AMX makes up to a third
    exact, reduced = (get_runtime(spec, "openvino", n_threads=2).run(batch) for spec in specs)
    assert 1e-4 < relative_l2(reduced, exact).max() < 0.2


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_what_only_a_gpu_runs_is_refused(tiny, precision):
    with pytest.raises(DeviceError, match=f"precision='{precision}'"):
        get_runtime(resolve(tiny, precision=precision), "openvino")


# --- conversion


class Attention(nn.Module):
    """A small transformer with a class token."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return self.head(self.layer(x)[:, 0])


def noise(spec, n):
    size = spec.preprocess.size
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_a_graph_takes_any_number_of_images(tiny):
    model = convert(resolve(tiny))
    assert [str(port.get_partial_shape()) for port in model.inputs] == ["[?,32,32,3]"]
    assert [str(port.get_partial_shape()) for port in model.outputs] == ["[?,8]"]


def test_several_layers_are_several_outputs_in_their_order(tiny):
    model = convert(resolve(tiny, layers=["conv1", "logits", "feature"]))
    assert [port.get_partial_shape()[1].get_length() for port in model.outputs] == [6, 3, 8]


@pytest.mark.parametrize("way", ["_trace", "_export"])
def test_a_transformer_converts_either_way(way, monkeypatch):
    def refuse(*_):
        raise RuntimeError("not this way")

    monkeypatch.setattr(_graphs, "_export" if way == "_trace" else "_trace", refuse)
    specs = resolve(featx.Encoder.from_module(Attention(), preprocess=TINY))
    batch = noise(specs[0], 5)
    rows, expected = (
        get_runtime(specs, "openvino", n_threads=2).run(batch),
        get_runtime(specs, "torch", "cpu").run(batch),
    )
    assert rows.shape == (5, 16)
    assert np.linalg.norm(rows - expected) < 1e-5 * np.linalg.norm(expected)


def test_what_the_process_has_set_for_its_own_work_changes_nothing():
    specs = resolve("efficientnet_lite0", preprocess=featx.Preprocess(size=64))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        assert convert(specs).outputs


def test_a_network_that_neither_way_holds_is_refused_with_both_reasons():
    specs = resolve(featx.Encoder.from_module(Unconvertible(), preprocess=TINY, name="odd"))
    with pytest.raises(ConversionError, match=r"'odd' cannot be converted for OpenVINO \(.+; .+\)"):
        convert(specs)


def test_a_graph_with_other_numbers_is_refused(tiny, monkeypatch):
    honest = _graphs._trace

    def wrong(network, example):
        network.mean += 1
        return honest(network, example)

    monkeypatch.setattr(_graphs, "_trace", wrong)
    monkeypatch.setattr(_graphs, "_export", wrong)
    with pytest.raises(ConversionError, match="its numbers differ by"):
        convert(resolve(tiny))


# --- graphs are kept: the second process needs neither torch nor a conversion


@pytest.fixture
def conversions(monkeypatch, own_graphs):
    """How often a network was converted."""
    convert, calls = _graphs.convert, []

    def counting(specs):
        calls.append(specs)
        return convert(specs)

    monkeypatch.setattr(_graphs, "convert", counting)
    return calls


def rows(specs):
    return openvino.Core().compile_model(load_graph(specs), "CPU")(np.full((2, 32, 32, 3), 90, np.uint8))[0]


def test_a_network_is_converted_once(tiny, conversions):
    first = rows(resolve(tiny))
    np.testing.assert_array_equal(rows(resolve(tiny)), first)
    assert len(conversions) == 1


def test_layers_and_their_order_are_graphs_of_their_own(tiny, own_graphs):
    files = {graph_file(resolve(tiny, layers=layers)) for layers in ("conv1", "conv2", ["conv1", "conv2"])}
    files.add(graph_file(resolve(tiny, layers=["conv2", "conv1"])))
    assert len(files) == 4


def test_what_changes_the_numbers_changes_the_file(tiny, own_graphs):
    """Also which node is the feature, where two encoders wrap one module."""
    plain = featx.Preprocess(size=32, mean=(0, 0, 0), std=(1, 1, 1))
    specs = [resolve(tiny), resolve(tiny_encoder(1)), resolve(tiny, preprocess=plain), resolve(tiny, layers="logits")]
    network = tiny.spec(tiny.preprocess)
    other = featx.Encoder.from_module(make_tiny(), preprocess=TINY)
    other.classifier, other.dim = None, 3
    assert other.spec(TINY).fingerprint() != network.fingerprint()
    specs.append([other.spec(TINY)])
    assert len({graph_file(chosen) for chosen in specs}) == 5


def test_one_graph_serves_every_precision_and_every_cut(tiny, own_graphs):
    squashed = dataclasses.replace(TINY, fit="squash", resize=40, interpolation="bilinear")
    for specs in (resolve(tiny, precision="bfloat16"), resolve(tiny, preprocess=squashed)):
        assert graph_file(specs) == graph_file(resolve(tiny))


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "short"])
def test_a_damaged_graph_is_made_again(tiny, conversions, damage):
    specs = resolve(tiny)
    expected, file = rows(specs), graph_file(specs)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[:-9], "flipped": content, "emptied": b"", "short": content[:20]}[damage]
    file.write_bytes(damaged)
    np.testing.assert_array_equal(rows(specs), expected)
    assert len(conversions) == 2
    rows(specs)
    assert len(conversions) == 2


def test_a_graph_of_another_version_is_made_again(tiny, conversions, monkeypatch):
    specs = resolve(tiny)
    rows(specs)
    for what in (_graphs.openvino, _kept):
        monkeypatch.setattr(what, "__version__", "0.0.1")
        rows(specs)
    assert len(conversions) == 3


def test_a_folder_that_cannot_be_written_costs_the_keeping_not_the_result(tiny, tmp_path, monkeypatch):
    (tmp_path / "featx").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(StoreWarning, match="cannot be kept"):
        assert load_graph(resolve(tiny)).outputs


def test_nothing_is_left_beside_the_graph(tiny, own_graphs):
    file = graph_file(resolve(tiny))
    load_graph(resolve(tiny))
    assert list(file.parent.iterdir()) == [file]


def test_the_second_process_imports_no_torch(photos, tmp_path):
    code = (
        "import sys, numpy, featx\n"
        "photo = numpy.full((40, 40, 3), 90, numpy.uint8)\n"
        "row = featx.ImageEncoder(cache=False, device='cpu').transform([photo])\n"
        "print(row.shape, 'torch' in sys.modules)"
    )
    answers = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert answers[1] == "(1, 1280) False"
