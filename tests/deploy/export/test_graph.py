"""Encoders and heads in one graph give the same numbers, whatever columns are called; smaller encoders near ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import featx
from featx._image_encoder import extraction_of
from featx.deploy._bundle import as_tensor
from featx.deploy.export._graph import EncoderGraph, assemble, shrink
from featx.deploy.export._split import split
from featx.deploy.export.heads import convert_head
from featx.runtimes import to_onnx

onnx = pytest.importorskip("onnx", reason="needs pip install 'featx[export]'")
ort = pytest.importorskip("onnxruntime", reason="needs pip install 'featx[export]'")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, 5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network(encoder):
    return lambda **parameters: to_onnx(extraction_of(encoder(**parameters)).specs)


def run(model, feeds):
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert {entry.name for entry in session.get_inputs()} == feeds.keys()
    return dict(zip([entry.name for entry in session.get_outputs()], session.run(None, feeds), strict=True))


def test_two_encoders_stand_side_by_side(network, encoder, pixels):
    model = assemble([EncoderGraph(network(), "front"), EncoderGraph(network(layers=["conv1"]), "back")], [])
    got = run(model, {"front": pixels[0], "back": pixels[1]})["embedding"]
    expected = [encoder().transform(pixels[0]), encoder(layers=["conv1"]).transform(pixels[1])]
    np.testing.assert_allclose(got, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)


def test_the_embedding_of_an_absent_image_is_nan_and_no_other(network, encoder, pixels):
    absent = np.array([[False], [True], [False], [False], [True]])
    model = assemble([EncoderGraph(network(), "photo", "photo_absent")], [])
    got = run(model, {"photo": pixels[0], "photo_absent": absent})["embedding"]
    assert np.isnan(got[absent[:, 0]]).all()
    expected = encoder().transform(pixels[0])[~absent[:, 0]]
    np.testing.assert_allclose(got[~absent[:, 0]], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_any_number_of_images_is_taken(network, pixels, n):
    model = assemble([EncoderGraph(network(), "image")], [])
    assert run(model, {"image": pixels[0][:n]})["embedding"].shape == (n, 8)


@pytest.mark.parametrize(
    "names",
    [
        {"price": "label", "colour": "embedding"},
        {"price": "probabilities", "colour": "decision"},
        {"photo": "embedding", "price": "the price in €", "colour": "Farbe: größe/1"},
        {"photo": "pixels", "price": "column0", "colour": "column1"},
        {"price": "variable", "colour": "input"},
    ],
    ids=lambda names: ",".join(names.values()),
)
def test_columns_may_be_called_anything(names, network, encoder, table, labels, pixels):
    names = {"photo": "photo", **names}
    renamed = table.rename(columns=names)
    columns = make_column_transformer(
        (encoder(), names["photo"]), (StandardScaler(), [names["price"]]), (OneHotEncoder(), [names["colour"]])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(renamed, labels)
    parts = split(model)
    embedding = parts.images[0].encoder.transform(list(pixels[0]))
    rows = renamed[:5].assign(**{names["photo"]: list(pixels[0])})
    values = {value.name: rows[[value.name]].to_numpy() for value in parts.values}
    heads = convert_head(parts, embedding, values).graphs
    feeds = {value.tensor: as_tensor(values[value.name]) for value in parts.values}
    image = parts.images[0].tensor
    got = run(assemble([EncoderGraph(network(), image)], heads), {image: pixels[0], **feeds})
    assert got.keys() == {"embedding", "label", "probabilities", "decision"}
    np.testing.assert_array_equal(got["label"], model.predict(rows))
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(rows), atol=1e-4)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)


def embed_with(model, images):
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"pixels": images})[0]


def relative(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def test_float16_halves_the_default_encoder_and_moves_it_little():
    specs = extraction_of(featx.ImageEncoder(cache=False)).specs
    whole, half = to_onnx(specs), shrink(to_onnx(specs), "float16", [])
    assert 0.49 < half.ByteSize() / whole.ByteSize() < 0.56
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    assert 0 < relative(embed_with(half, images), embed_with(whole, images)) < 1e-2


def test_small_weights_and_the_next_export_stay_as_they_are(encoder, images):
    specs = extraction_of(encoder()).specs
    whole = embed_with(to_onnx(specs), images)
    shrink(to_onnx(specs), "float16", [])
    np.testing.assert_array_equal(embed_with(to_onnx(specs), images), whole)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_int8_is_near_the_whole_one_and_not_the_same(encoder, images):
    pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
    specs = extraction_of(encoder()).specs
    expected = embed_with(to_onnx(specs), images)
    model = shrink(to_onnx(specs), "int8", list(images))
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    assert 0 < relative(embed_with(model, images), expected) < 0.1
