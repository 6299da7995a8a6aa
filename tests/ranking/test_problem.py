"""Candidates are scored by the user's estimator on the user's images, and by the scores of featx.scores."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.evaluation import make_folds
from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.ranking._candidates import cross, find_networks
from featx.ranking._problem import RankingProblem, cheap_scores, check_scores
from featx.scores import knn_score, lda_score, leep_score, logme_score

Y = np.array(["a", "b"] * 20)


@pytest.fixture
def candidate(tiny):
    return cross(find_networks([tiny])[0], None, ["avg"])[0]


def test_a_users_pipeline_scores_as_its_head_on_the_embeddings(crops, candidate):
    problem = RankingProblem(crops, Y, featx.image_pipeline("logistic"), None)
    rows = np.arange(40)
    scores = problem.fold_scores(candidate, np.empty((40, 0)), rows, make_folds(Y, 4))
    Z = candidate.encoder().transform(crops)
    plain = RankingProblem(crops, Y, None, None).fold_scores(candidate, Z, rows, make_folds(Y, 4))
    assert scores == pytest.approx(plain)


def test_an_image_column_is_found_in_a_table(crops, candidate):
    frame = pd.DataFrame({"price": np.arange(40.0), "photo": pd.Series(list(crops), dtype=object)})
    columns = make_column_transformer((featx.ImageEncoder(), ["photo"]), (StandardScaler(), ["price"]))
    problem = RankingProblem(frame, Y, make_pipeline(columns, LogisticRegression()), None)
    assert problem.images is not frame
    assert len(problem.images) == 40
    rows = np.arange(0, 40)
    scores = problem.fold_scores(candidate, np.empty((40, 0)), rows, make_folds(Y, 4))
    assert scores.shape == (4,)


def test_a_search_over_a_pipeline_is_tried_too(crops, candidate):
    search = GridSearchCV(featx.image_pipeline("logistic"), {"head__C": [0.01, 1]}, cv=2)
    scores = RankingProblem(crops, Y, search, None).fold_scores(
        candidate, np.empty((40, 0)), np.arange(40), make_folds(Y, 4)
    )
    assert scores.shape == (4,)


def test_the_users_estimator_is_not_changed(crops, candidate):
    mine = featx.image_pipeline("logistic")
    RankingProblem(crops, Y, mine, None).fold_scores(candidate, np.empty((40, 0)), np.arange(40), make_folds(Y, 4))
    assert mine["encoder"].encoder == "efficientnet_lite0"


def test_numbers_are_a_regression(crops):
    assert RankingProblem(crops, np.linspace(0, 1, 40), None, None).regression
    assert RankingProblem(crops, np.arange(40), Ridge(), None).regression
    assert not RankingProblem(crops, np.arange(40) % 3, None, None).regression


@pytest.mark.parametrize("estimator", ["logistic", LogisticRegression, 7])
def test_anything_but_an_estimator_is_refused(crops, estimator):
    with pytest.raises(ParameterError, match="Got estimator="):
        RankingProblem(crops, Y, estimator, None)


def test_labels_must_be_as_many_as_images(crops):
    with pytest.raises(InputError, match="for 40 rows"):
        RankingProblem(crops, Y[:-1], None, None)


def test_an_unknown_score_is_named():
    with pytest.raises(UnknownNameError, match="logme"):
        check_scores(["logmee"], regression=False)


def test_for_numbers_only_what_applies_is_left():
    assert check_scores(["knn", "logme", "probe"], regression=True) == ("logme", "probe")
    assert check_scores("knn", regression=False) == ("knn",)
    with pytest.raises(ParameterError, match="for numbers to predict"):
        check_scores(["knn"], regression=True)


def test_scores_are_those_of_the_functions():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    Z, logits = rng.normal(size=(30, 4)) + y[:, None], rng.normal(size=(30, 6)).astype(np.float32)
    found = cheap_scores(["knn", "leep", "probe"], Z, logits, y)
    assert found == {"knn": knn_score(Z, y), "leep": leep_score(softmax(logits.astype(float), axis=1), y)}


def test_a_copy_in_the_same_group_does_not_count():
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
