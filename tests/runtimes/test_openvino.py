"""OpenVINO gives torch's numbers, whatever the batch and whoever else runs."""

from __future__ import annotations

import threading

import numpy as np
import openvino
import pytest
from PIL import Image

from featx.encoders import resolve
from featx.exceptions import DeviceError
from featx.images import Preprocess
from featx.runtimes import _openvino as module
from featx.runtimes._openvino import OpenVinoRuntime
from featx.runtimes._torch import TorchRuntime

HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def batch_of(images, spec) -> np.ndarray:
    return np.stack([spec.preprocess(Image.fromarray(image)) for image in images])


def relative_l2(a, b):
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", "resnet18", "mobilenet_v3_small", "densenet121", "regnet_y_400mf", "swin_t"]
)
def test_rows_are_those_of_torch(name, crops):
    weights = "default" if "lite" in name else "random"
    specs = resolve(name, weights=weights, preprocess=Preprocess(size=64, fit="squash"))
    batch = batch_of(crops[:3], specs[0])
    rows = OpenVinoRuntime(specs, 2).run(batch)
    assert rows.dtype == np.float32
    assert rows.shape == (3, specs[0].dim)
    assert relative_l2(rows, TorchRuntime(specs, "cpu").run(batch)).max() < 1e-4


def test_a_row_does_not_depend_on_its_batch_or_on_who_else_runs(crops):
    specs = resolve("efficientnet_lite0")
    runtime = OpenVinoRuntime(specs, 2)
    batch = batch_of(crops[:8], specs[0])
    whole = runtime.run(batch)
    for size in (1, 3):
        parts = np.vstack([runtime.run(batch[i : i + size]) for i in range(0, 8, size)])
        assert relative_l2(parts, whole).max() <= 1e-5
    assert relative_l2(runtime.run(batch, alone=True), whole).max() <= 1e-5


def test_several_layers_stand_side_by_side(tiny, crops):
    specs = resolve(tiny, layers=["conv1", "feature", "logits"])
    runtime = OpenVinoRuntime(specs, 2)
    batch = batch_of(crops[:3], specs[0])
    assert runtime.dims == (6, 8, 3)
    expected = TorchRuntime(specs, "cpu").run(batch)
    np.testing.assert_allclose(runtime.run(batch), expected, rtol=1e-4, atol=1e-5)


def test_threads_share_a_runtime_and_get_their_own_rows(tiny, crops):
    specs = resolve(tiny)
    runtime = OpenVinoRuntime(specs, 2)
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
    runtime = OpenVinoRuntime(specs, 1)
    batch = batch_of(crops[:6], specs[0])
    expected = runtime.run(batch)
    batch.flags.writeable = False
    np.testing.assert_array_equal(runtime.run(batch), expected)
    np.testing.assert_allclose(runtime.run(batch[::-2]), expected[::-2], rtol=1e-5, atol=1e-6)


def test_rows_stay_when_the_next_batch_runs(tiny, crops):
    specs = resolve(tiny)
    runtime = OpenVinoRuntime(specs, 1)
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

    runtime = OpenVinoRuntime(resolve(tiny), 2)
    monkeypatch.setattr(openvino.Core, "compile_model", noting)
    runtime.run(np.zeros((1, 32, 32, 3), np.uint8))
    assert [settings["INFERENCE_PRECISION_HINT"] for settings in asked] == ["f32"]


def test_bfloat16_is_near_float32_where_the_processor_has_it_and_else_refused(photos):
    specs = resolve("efficientnet_lite0"), resolve("efficientnet_lite0", precision="bfloat16")
    if not HAS_BF16:
        with pytest.raises(DeviceError, match=r"Expected 'float32' on this processor\. Bfloat16 needs"):
            OpenVinoRuntime(specs[1], 2)
        return
    batch = batch_of(photos, specs[0][0])  # sharp ones: of small, blown-up crops AMX makes up to a third
    exact, reduced = (OpenVinoRuntime(spec, 2).run(batch) for spec in specs)
    assert 1e-4 < relative_l2(reduced, exact).max() < 0.2


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_what_only_a_gpu_runs_is_refused(tiny, precision):
    with pytest.raises(DeviceError, match=f"precision='{precision}'"):
        module._hint(precision)
