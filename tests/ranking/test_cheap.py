import numpy as np
import pytest
from scipy.special import softmax

from featx.exceptions import ParameterError, UnknownNameError
from featx.ranking._cheap import cheap_scores, check_scores
from featx.scores import knn_score, lda_score, leep_score, logme_score


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


def test_a_copy_in_the_same_group_does_not_vouch():
    rng = np.random.default_rng(0)
    rows = np.tile(np.arange(40), 3)
    Z, y = rng.normal(size=(40, 80))[rows], (np.arange(40) % 2)[rows]
    alone, together = (cheap_scores(["knn", "lda"], Z, None, y, groups=groups) for groups in (None, rows))
    assert together == {"knn": knn_score(Z, y, groups=rows), "lda": lda_score(Z, y, groups=rows)}
    assert alone["lda"] > 0.9 > 0.7 > together["lda"]
    assert together["knn"] < alone["knn"]


def test_classes_by_number_that_are_rare_in_a_round_stay_classes():
    Z, y = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 4  # a warning would be an error
    assert cheap_scores(["logme"], Z, None, y) == {"logme": logme_score(Z, y.astype(str))}


def test_without_a_source_classifier_its_scores_are_nan():
    assert np.isnan(cheap_scores(["leep"], np.eye(4), None, np.arange(4) % 2)["leep"])


def test_whole_numbers_to_predict_are_not_taken_for_classes():
    Z, ages = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 7
    assert cheap_scores(["logme", "probe"], Z, None, ages, True) == {"logme": logme_score(Z, ages, task="regression")}
