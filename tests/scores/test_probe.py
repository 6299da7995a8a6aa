"""The probe is cross-validation on embeddings, with repeatable folds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from featx.exceptions import InputError, ParameterError
from featx.scores import probe_score

Y = np.arange(60) % 3
Z = np.random.default_rng(0).normal(size=(60, 4)) + np.eye(4)[Y]


def test_it_is_the_mean_over_folds_that_the_model_has_not_seen():
    thirds = np.split(np.random.default_rng(0).permutation(60), 3)
    folds = [(np.setdiff1d(np.arange(60), test), test) for test in thirds]
    expected = [RidgeClassifier().fit(Z[train], Y[train]).score(Z[test], Y[test]) for train, test in folds]
    assert probe_score(RidgeClassifier(), Z, Y, folds) == pytest.approx(np.mean(expected))


def test_it_is_the_same_at_each_call_and_leaves_the_estimator_as_it_was():
    model = LogisticRegression()
    assert probe_score(model, Z, Y) == probe_score(model, Z, Y)
    assert not hasattr(model, "coef_")


def test_labels_may_be_strings_and_categories():
    names = np.array(["cat", "dog", "eel"])[Y]
    assert probe_score(RidgeClassifier(), Z, pd.Categorical(names)) == probe_score(RidgeClassifier(), Z, Y)
    assert probe_score(RidgeClassifier(), Z.astype("float16"), names, scoring="f1_macro") > 0.4


def test_copies_of_a_row_in_one_group_do_not_help():
    rng = np.random.default_rng(0)
    group, y = np.repeat(np.arange(30), 3), np.repeat(np.arange(30) % 2, 3)
    copies = np.repeat(rng.normal(size=(30, 5)), 3, axis=0)
    nearest = KNeighborsClassifier(1)
    assert probe_score(nearest, copies, y) > 0.95
    assert probe_score(nearest, copies, y, groups=group) < 0.75


def test_numbers_are_predicted_by_a_regressor_also_whole_ones():
    y = Z[:, 0] * 2
    assert probe_score(Ridge(0.01), Z, y) > 0.99
    assert probe_score(Ridge(0.01), Z, np.rint(10 * y)) > 0.99
    assert probe_score(Ridge(0.01), Z, np.column_stack([y, -y]), cv=3) > 0.99


def test_the_estimator_decides_and_the_other_task_is_refused():
    ages = np.arange(60) % 30  # a warning would be an error
    assert np.isfinite(probe_score(Ridge(), Z, ages))
    with pytest.raises(InputError, match=r"2 images of class '0' .* pass task=\"regression\""):
        probe_score(RidgeClassifier(), Z, ages)
    with pytest.raises(ParameterError, match="Got task='regression' with the head RidgeClassifier"):
        probe_score(RidgeClassifier(), Z, ages, task="regression")
    with pytest.raises(ParameterError, match="Expected a classifier"):
        probe_score(Ridge(), Z, Y, task="classification")


def test_rows_with_nan_one_class_and_rare_classes_are_refused():
    with pytest.raises(InputError, match="1 of 60 rows"):
        probe_score(RidgeClassifier(), np.where(np.arange(60)[:, None] == 3, np.nan, Z), Y)
    with pytest.raises(InputError, match="one class"):
        probe_score(RidgeClassifier(), Z, ["a"] * 60)
    with pytest.raises(InputError, match="1 images of class 'rare'"):
        probe_score(RidgeClassifier(), Z, ["rare"] + ["a"] * 30 + ["b"] * 29)


@pytest.mark.parametrize("estimator", [Ridge, "logistic", None])
def test_anything_but_an_estimator_is_refused(estimator):
    with pytest.raises(ParameterError, match="Got estimator="):
        probe_score(estimator, Z, Y)
