import numpy as np
import pytest
from PIL import Image
from sklearn.dummy import DummyClassifier

import featx
from featx._image_encoder import extraction_of
from featx.compare._features import (
    baseline_features,
    check_feature_sets,
    embed_feature_sets,
    good_rows,
    has_untrained,
    thumbnails,
    untrained,
)
from featx.exceptions import ImageWarning, InputError, ParameterError, UnknownNameError
from featx.images import as_column


def test_an_unknown_feature_set_names_close_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'pixels'"):
        check_feature_sets(["pixel", "pretrained"], None)


@pytest.mark.parametrize("feature_sets", [["pixels", "hog"], ["pretrained"], "pretrained", []])
def test_something_must_be_left_to_compare(feature_sets):
    with pytest.raises(ParameterError, match="Expected 'pretrained' and at least one"):
        check_feature_sets(feature_sets, None)


def test_an_extra_estimator_is_enough():
    assert check_feature_sets(["pretrained"], {"guess": DummyClassifier()}) == ("pretrained",)


def test_extra_estimators_have_different_names():
    with pytest.raises(ParameterError, match="feature set already"):
        check_feature_sets(["pretrained"], {"hog": DummyClassifier()})
    with pytest.raises(ParameterError, match="an instance"):
        check_feature_sets(["pretrained"], {"guess": DummyClassifier})


def test_the_untrained_network_sees_the_same_pixels():
    encoder = featx.ImageEncoder(preprocess="squash", cache=False)
    (spec,), (random,) = extraction_of(encoder).specs, extraction_of(untrained(encoder)).specs
    assert random.preprocess == spec.preprocess
    assert random.weights.startswith("random:0")


def test_a_user_s_network_has_no_untrained_one(tiny):
    assert has_untrained(featx.ImageEncoder())
    assert not has_untrained(featx.ImageEncoder(tiny))


def test_rows_that_one_feature_set_cannot_read_are_left_out_of_all(tiny, crops):
    column = as_column([crops[0], "missing.jpg", crops[1]])
    features, seconds = embed_feature_sets(column, featx.ImageEncoder(tiny, cache=False), ["pixels", "pretrained"])
    assert set(seconds) == {"pixels", "pretrained"}
    with pytest.warns(ImageWarning, match="1 of 3 images cannot be used and are left out of every feature set: rows 1"):
        assert good_rows(features).tolist() == [0, 2]


def test_no_readable_image_is_an_error():
    with pytest.raises(InputError, match="2 images of which none"):
        good_rows({"pixels": np.full((2, 3), np.nan)})


def test_an_image_has_a_row_of_each_kind(crops):
    rows = baseline_features(crops[:3], ["pixels", "hog", "color"])
    assert {name: array.shape for name, array in rows.items()} == {
        "pixels": (3, 3072),
        "hog": (3, 1764),
        "color": (3, 216),
    }
    assert all(array.dtype == np.float32 for array in rows.values())


def test_pixels_are_the_image_squashed(crops):
    small = Image.fromarray(crops[0]).resize((32, 32), Image.Resampling.BICUBIC)
    row = baseline_features(crops[:1], ["pixels"])["pixels"][0]
    np.testing.assert_allclose(row.reshape(32, 32, 3), np.asarray(small) / np.float32(255))


def test_pixels_are_an_image_again(crops):
    small = Image.fromarray(crops[0]).resize((32, 32), Image.Resampling.BICUBIC)
    row = baseline_features(crops[:1], ["pixels"])["pixels"]
    np.testing.assert_array_equal(thumbnails(row), np.asarray(small)[None])


def test_colors_do_not_know_where_they_are(crops):
    rows = baseline_features([crops[0], crops[0][::-1].copy()], ["color"])["color"]
    np.testing.assert_allclose(rows[0], rows[1], atol=0.15)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_edges_hardly_know_their_brightness(crops):
    half = (crops[0] // 2).astype(np.uint8)
    rows = baseline_features([crops[0], half], ["hog"])["hog"]
    assert np.corrcoef(rows)[0, 1] > 0.8


@pytest.mark.parametrize("bad", ["missing.jpg", None])
def test_an_image_that_cannot_be_read_is_a_row_of_nan(crops, bad):
    rows = baseline_features([crops[0], bad], ["pixels", "color"])
    assert all(np.isnan(array[1]).all() and np.isfinite(array[0]).all() for array in rows.values())


def test_constant_images_have_rows():
    rows = baseline_features([np.zeros((10, 10), np.uint8)], ["pixels", "hog", "color"])
    assert all(np.isfinite(array).all() for array in rows.values())
