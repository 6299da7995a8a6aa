import numpy as np
import pytest
from scipy.special import softmax

from featx.exceptions import ParameterError, UnknownNameError
from featx.transfer.ranking._cheap import cheap_scores, check_scores
from featx.transfer.scores import knn_score, leep_score, logme_score


def test_an_unknown_score_is_named():
    with pytest.raises(UnknownNameError, match="logme"):
        check_scores(["logmee"], regression=False)


def test_of_numbers_only_what_applies_is_left():
    assert check_scores(["knn", "logme", "probe"], regression=True) == ("logme", "probe")
    assert check_scores("knn", regression=False) == ("knn",)
    with pytest.raises(ParameterError, match="of numbers"):
        check_scores(["knn"], regression=True)


def test_scores_are_those_of_the_functions():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    Z, logits = rng.normal(size=(30, 4)) + y[:, None], rng.normal(size=(30, 6)).astype(np.float32)
    found = cheap_scores(["knn", "leep", "probe"], Z, logits, y)
    assert found == {"knn": knn_score(Z, y), "leep": leep_score(softmax(logits.astype(float), axis=1), y)}


def test_without_a_source_classifier_its_scores_are_nan():
    assert np.isnan(cheap_scores(["leep"], np.eye(4), None, np.arange(4) % 2)["leep"])


def test_whole_numbers_to_predict_are_not_taken_for_classes():
    Z, ages = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 7
    assert cheap_scores(["logme", "probe"], Z, None, ages, True) == {"logme": logme_score(Z, ages, regression=True)}
