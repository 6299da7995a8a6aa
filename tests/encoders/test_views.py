"""Embeddings of views of an image, averaged."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import featx
from featx._image_encoder import extraction_of
from featx.encoders import resolve
from featx.exceptions import ParameterError, UnknownNameError

VIEWS = ("flip", "five_crops")
RUNTIMES = ("openvino", "torch")


def embed(images, encoder, **parameters) -> np.ndarray:
    return featx.ImageEncoder(encoder, cache=False, verbose=0, **parameters).transform(images)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_flip_is_the_mean_of_an_image_and_its_mirror_image(tiny, crops, runtime):
    mirrored = [np.asarray(ImageOps.mirror(Image.fromarray(crop))) for crop in crops]
    expected = (embed(crops, tiny, runtime=runtime) + embed(mirrored, tiny, runtime=runtime)) / 2
    np.testing.assert_allclose(embed(crops, tiny, runtime=runtime, views="flip"), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("resize", "side"), [(None, 37), (40, 40)])
def test_five_crops_are_the_corners_and_the_center_of_a_larger_square(tiny, crops, runtime, resize, side):
    preprocess = featx.Preprocess(32, resize, mean=(0.5,) * 3, std=(0.25,) * 3)
    larger = featx.Preprocess(side, mean=(0.5,) * 3, std=(0.25,) * 3)
    far, middle = side - 32, (side - 32) // 2
    corners = [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    squares = [larger(Image.fromarray(crop)) for crop in crops]
    parts = [square[top : top + 32, left : left + 32] for square in squares for top, left in corners]
    expected = embed(parts, tiny, runtime=runtime).reshape(len(crops), 5, -1).mean(axis=1)
    got = embed(crops, tiny, runtime=runtime, preprocess=preprocess, views="five_crops")
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_views_are_rows_of_their_own(tiny):
    fingerprints = {resolve(tiny, views=views)[0].fingerprint() for views in (None, *VIEWS)}
    assert len(fingerprints) == 3


def test_layers_are_averaged_each(tiny, crops):
    both = embed(crops, tiny, layers=["conv1", "feature"], views="flip")
    each = [embed(crops, tiny, layers=layer, views="flip") for layer in ("conv1", "feature")]
    np.testing.assert_allclose(both, np.hstack(each), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("views", VIEWS)
def test_a_bundle_averages_them_too(tiny, crops, tmp_path, views):
    encoder = featx.ImageEncoder(tiny, views=views, cache=False, verbose=0)
    model = make_pipeline(encoder, LogisticRegression()).fit(crops, np.repeat(["a", "b"], 20))
    featx.export_bundle(model, tmp_path / "bundle")
    got = featx.Predictor(tmp_path / "bundle").predict_proba(crops)
    np.testing.assert_allclose(got, model.predict_proba(crops), atol=1e-5)


@pytest.mark.parametrize("views", VIEWS)
def test_a_saved_encoder_keeps_them(tiny, crops, tmp_path, views):
    encoder = featx.ImageEncoder(
        tiny, preprocess=featx.Preprocess(32, fit="squash"), views=views, cache=False, verbose=0
    )
    featx.save(encoder, tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(crops), encoder.transform(crops))
    assert resolve(loaded.encoder)[0].fingerprint() == extraction_of(encoder).spec.fingerprint()


def test_unknown_views_are_refused_with_the_names_of_those_there_are(tiny):
    with pytest.raises(UnknownNameError, match=r"Unknown views 'flips'\. Did you mean 'flip'"):
        embed([], tiny, views="flips")


def test_a_network_is_not_tuned_by_views(tiny, crops):
    tuned = featx.FineTuneClassifier(featx.ImageEncoder(tiny, views="flip"))
    with pytest.raises(ParameterError, match="views=None"):
        tuned.fit(crops, np.repeat(["a", "b"], 20))


def test_a_graph_in_a_file_has_no_views(tiny, crops):
    quantized = featx.quantize_encoder(featx.ImageEncoder(tiny, cache=False, verbose=0), crops)
    with pytest.raises(ParameterError, match=r"Got views='flip' with .*, a graph in a file"):
        resolve(quantized, views="flip")


def test_views_that_were_quantized_stay_in_the_graph(tiny, crops):
    encoder = featx.ImageEncoder(tiny, views="flip", cache=False, verbose=0)
    quantized = embed(crops, featx.quantize_encoder(encoder, crops))
    mirrored = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
    np.testing.assert_allclose(embed(mirrored, featx.quantize_encoder(encoder, crops)), quantized, atol=1e-5)
