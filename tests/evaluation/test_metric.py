"""A difference of scores has the unit of its metric, and tied classes share a row."""

import numpy as np
import pytest
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer, mean_absolute_error

from featx.evaluation import tied_accuracy, unit_of


@pytest.mark.parametrize("scoring", [None, "accuracy", "r2", "roc_auc_ovr", "f1_macro", "balanced_accuracy"])
def test_scores_whose_best_is_one_are_in_points(scoring):
    assert unit_of(scoring).format(0.125, 0.02) == "+12.5 +- 2.0 points"


@pytest.mark.parametrize(
    "scoring", ["neg_mean_absolute_error", make_scorer(mean_absolute_error, greater_is_better=False)]
)
def test_an_error_has_its_own_unit_and_its_sign_is_explained(scoring):
    text = unit_of(scoring).format(2.0354, 0.31)
    assert text == "+2.035 +- 0.31 neg_mean_absolute_error (higher is better: it is minus the error)"


def test_a_users_function_has_its_own_unit():
    def grams(estimator, X, y):
        return 0.0

    assert unit_of(grams).format(-3.0) == "-3 grams (higher is better)"


@pytest.mark.parametrize("name", get_scorer_names())
def test_a_scorers_name_and_the_scorer_have_one_unit(name):
    unit, same = unit_of(name), unit_of(get_scorer(name))
    assert (unit.is_share, unit.sense) == (same.is_share, same.sense)
    assert not (unit.is_share and name.startswith("neg_"))


def test_points_are_hundredths_and_no_other_unit_is_scaled():
    for value in np.random.default_rng(0).normal(size=20).round(3):
        assert float(unit_of("accuracy").figure(value)) == pytest.approx(100 * value, abs=0.05)
        assert float(unit_of("neg_log_loss").figure(value)) == pytest.approx(value, rel=1e-3)


def test_a_row_is_right_when_its_own_class_has_the_most():
    evidence = np.array([[0.2, 0.8], [0.9, 0.1], [-np.inf, -3.0]])
    assert tied_accuracy(evidence, np.array([1, 1, 1])) == pytest.approx(2 / 3)


def test_tied_classes_share_a_row_though_rounding_parts_them():
    evidence = np.array([[0.1 + 0.2, 0.3, 0.3, 0.0], [-0.3, -(0.1 + 0.2), -0.3, -1.0]])
    assert tied_accuracy(evidence, np.array([1, 0])) == pytest.approx(1 / 3)
    assert tied_accuracy(evidence, np.array([3, 3])) == 0
