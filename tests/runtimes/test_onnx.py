from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from torchvision.models import VisionTransformer

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import ConversionError, StoreWarning
from featx.runtimes import OPSET, _kept, _onnx, graphs_folder, to_onnx
from tests.networks import TINY, Unconvertible


def embed(model, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["embedding"], {"pixels": pixels})[0]


def specs_of(encoder, **parameters):
    return extraction_of(featx.ImageEncoder(encoder, **parameters)).specs


@pytest.fixture
def written(monkeypatch, own_graphs):
    """The networks that were written, once for each time."""
    write, specs = _onnx._write, []

    def recording(given):
        specs.append(given)
        return write(given)

    monkeypatch.setattr(_onnx, "_write", recording)
    return specs


def test_the_default_encoder_gives_its_own_numbers(crops):
    encoder = featx.ImageEncoder(cache=False, verbose=0)
    pixels = np.stack([extraction_of(encoder).spec.preprocess(_rgb(crop)) for crop in crops[:3]])
    got, expected = embed(to_onnx(extraction_of(encoder).specs), pixels), encoder.transform(crops[:3])
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 1e-5


def _rgb(crop):
    from PIL import Image

    return Image.fromarray(crop)


def test_any_number_of_images_goes_through(tiny):
    model = to_onnx(specs_of(tiny))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), "uint8")
    whole = embed(model, pixels)
    assert whole.shape == (5, 8)
    np.testing.assert_allclose(np.concatenate([embed(model, pixels[i : i + 1]) for i in range(5)]), whole, rtol=1e-5)


def test_layers_lie_side_by_side(tiny, crops):
    encoder = featx.ImageEncoder(tiny, layers=["conv1", "conv2"], cache=False, verbose=0)
    pixels = np.stack([TINY(_rgb(crop)) for crop in crops[:4]])
    np.testing.assert_allclose(
        embed(to_onnx(extraction_of(encoder).specs), pixels), encoder.transform(crops[:4]), rtol=1e-4, atol=1e-5
    )


def test_the_graph_is_of_one_opset_and_tells_nothing_of_the_sources(tiny):
    model = to_onnx(specs_of(tiny))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert b".py" not in model.SerializeToString()


def test_a_transformer_converts_too():
    vit = VisionTransformer(image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=48)
    specs = specs_of(featx.Encoder.from_module(vit, preprocess=TINY))  # vit_b_16 but for its size
    assert to_onnx(specs).graph.output[0].type.tensor_type.shape.dim[1].dim_value == 24


def test_a_second_export_of_the_same_encoder_is_its_own(tiny):
    first = to_onnx(specs_of(tiny))
    del first.graph.node[:]
    assert len(to_onnx(specs_of(tiny)).graph.node)


def test_what_cannot_be_written_says_so():
    encoder = featx.Encoder.from_module(Unconvertible(), preprocess=TINY)
    with pytest.raises(ConversionError, match="cannot be written as ONNX"):
        to_onnx(specs_of(encoder))


def test_other_numbers_are_noticed(tiny, own_graphs, monkeypatch):
    monkeypatch.setattr(_onnx, "_run", lambda model, pixels: np.zeros((3, 8), np.float32))
    with pytest.raises(ConversionError, match="gives other numbers"):
        to_onnx(specs_of(tiny))


def test_a_network_is_written_once(tiny, written):
    first = to_onnx(specs_of(tiny))
    assert to_onnx(specs_of(tiny)) == first
    assert len(written) == 1


def test_another_cut_of_the_image_shares_a_graph_and_another_size_does_not(tiny, written):
    for preprocess in (TINY, replace(TINY, fit="squash", interpolation="bilinear", resize=40)):
        to_onnx(specs_of(tiny, preprocess=preprocess))
    assert len(written) == 1
    for preprocess in (replace(TINY, size=40), replace(TINY, mean=(0.1, 0.2, 0.3))):
        to_onnx(specs_of(tiny, preprocess=preprocess))
    assert len(written) == 3


def test_a_graph_that_is_cut_flipped_in_a_bit_or_emptied_is_written_again(tiny, written):
    whole = to_onnx(specs_of(tiny))
    (file,) = graphs_folder().glob("*.onnx")
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for times, damaged in enumerate((content[:-9], flipped, b""), 2):
        file.write_bytes(damaged)
        for _ in range(2):
            assert to_onnx(specs_of(tiny)) == whole
            assert len(written) == times


def test_a_graph_of_another_version_is_written_again(tiny, written, monkeypatch):
    to_onnx(specs_of(tiny))
    monkeypatch.setattr(_kept, "__version__", "0.0.1")
    to_onnx(specs_of(tiny))
    assert len(written) == 2


def test_a_folder_that_cannot_be_written_costs_the_keeping_not_the_graph(tiny, tmp_path, monkeypatch):
    (tmp_path / "featx").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(StoreWarning, match="cannot be kept"):
        assert to_onnx(specs_of(tiny)).graph.node


def test_another_process_exports_without_torch(crops, tmp_path, root):
    featx.save(featx.image_pipeline(cache=False, verbose=0).fit(crops, [0] * 20 + [1] * 20), tmp_path / "model")
    featx.export_bundle(featx.load(tmp_path / "model"), tmp_path / "first")
    program = (
        "import sys, featx\n"
        "featx.export_bundle(featx.load(sys.argv[1]), sys.argv[2])\n"
        "print('torch' in sys.modules, 'onnxscript' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model"), str(tmp_path / "second")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    first, second = (featx.Predictor(tmp_path / name).predict_proba(crops) for name in ("first", "second"))
    np.testing.assert_array_equal(first, second)
