import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

import featx
from featx._image_encoder import extraction_of
from featx.compare._arms import check_arms, embed_arms, good_rows, has_untrained, untrained
from featx.exceptions import ImageWarning, InputError, ParameterError, UnknownNameError
from featx.images import as_column


def test_an_unknown_arm_names_close_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'pixels'"):
        check_arms(["pixel", "pretrained"], None)


@pytest.mark.parametrize("arms", [["pixels", "hog"], ["pretrained"], "pretrained", []])
def test_something_must_be_left_to_compare(arms):
    with pytest.raises(ParameterError, match="Expected 'pretrained' and at least one"):
        check_arms(arms, None)


def test_an_extra_arm_is_enough():
    assert check_arms(["pretrained"], {"guess": DummyClassifier()}) == ("pretrained",)


def test_extra_arms_are_estimators_with_names_of_their_own():
    with pytest.raises(ParameterError, match="arm already"):
        check_arms(["pretrained"], {"hog": DummyClassifier()})
    with pytest.raises(ParameterError, match="an instance"):
        check_arms(["pretrained"], {"guess": DummyClassifier})


def test_the_untrained_network_sees_the_same_pixels():
    encoder = featx.ImageEncoder(preprocess="squash", cache=False)
    (spec,), (random,) = extraction_of(encoder).specs, extraction_of(untrained(encoder)).specs
    assert random.preprocess == spec.preprocess
    assert random.weights.startswith("random:0")


def test_a_network_of_ones_own_has_no_untrained_one(tiny):
    assert has_untrained(featx.ImageEncoder())
    assert not has_untrained(featx.ImageEncoder(tiny))


def test_rows_that_one_arm_cannot_read_are_left_out_of_all(tiny, crops):
    column = as_column([crops[0], "missing.jpg", crops[1]])
    features, seconds = embed_arms(column, featx.ImageEncoder(tiny, cache=False), ["pixels", "pretrained"])
    assert set(seconds) == {"pixels", "pretrained"}
    with pytest.warns(ImageWarning, match="1 of 3 images cannot be used and are left out of every arm: rows 1"):
        assert good_rows(features).tolist() == [0, 2]


def test_no_readable_image_is_an_error():
    with pytest.raises(InputError, match="2 images of which none"):
        good_rows({"pixels": np.full((2, 3), np.nan)})
