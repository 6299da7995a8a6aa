import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.evaluation import make_folds
from featx.exceptions import InputError, ParameterError
from featx.ranking._candidates import cross, find_networks
from featx.ranking._task import Task

Y = np.array(["a", "b"] * 20)


@pytest.fixture
def candidate(tiny):
    return cross(find_networks([tiny])[0], None, ["avg"])[0]


def test_labels_of_ones_own_pipeline_are_what_it_is_given(crops, candidate):
    task = Task(crops, Y, featx.image_pipeline("logistic"), None)
    rows = np.arange(40)
    scores = task.fold_scores(candidate, np.empty((40, 0)), rows, make_folds(Y, 4))
    Z = candidate.encoder().transform(crops)
    plain = Task(crops, Y, None, None).fold_scores(candidate, Z, rows, make_folds(Y, 4))
    assert scores == pytest.approx(plain)


def test_an_image_column_is_found_in_a_table(crops, candidate):
    frame = pd.DataFrame({"price": np.arange(40.0), "photo": pd.Series(list(crops), dtype=object)})
    columns = make_column_transformer((featx.ImageEncoder(), ["photo"]), (StandardScaler(), ["price"]))
    task = Task(frame, Y, make_pipeline(columns, LogisticRegression()), None)
    assert task.images is not frame
    assert len(task.images) == 40
    rows = np.arange(0, 40)
    scores = task.fold_scores(candidate, np.empty((40, 0)), rows, make_folds(Y, 4))
    assert scores.shape == (4,)


def test_a_search_over_a_pipeline_is_tried_too(crops, candidate):
    search = GridSearchCV(featx.image_pipeline("logistic"), {"head__C": [0.01, 1]}, cv=2)
    scores = Task(crops, Y, search, None).fold_scores(candidate, np.empty((40, 0)), np.arange(40), make_folds(Y, 4))
    assert scores.shape == (4,)


def test_the_users_estimator_is_not_changed(crops, candidate):
    mine = featx.image_pipeline("logistic")
    Task(crops, Y, mine, None).fold_scores(candidate, np.empty((40, 0)), np.arange(40), make_folds(Y, 4))
    assert mine["encoder"].encoder == "efficientnet_lite0"


def test_numbers_are_a_regression(crops):
    assert Task(crops, np.linspace(0, 1, 40), None, None).regression
    assert Task(crops, np.arange(40), Ridge(), None).regression
    assert not Task(crops, np.arange(40) % 3, None, None).regression


@pytest.mark.parametrize("estimator", ["logistic", LogisticRegression, 7])
def test_what_is_no_estimator_is_refused(crops, estimator):
    with pytest.raises(ParameterError, match="Got estimator="):
        Task(crops, Y, estimator, None)


def test_labels_must_be_as_many_as_images(crops):
    with pytest.raises(InputError, match="for 40 rows"):
        Task(crops, Y[:-1], None, None)
