"""Rows of other classes score lower than rows of the known ones."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from featx.auditing import OODDetector
from featx.exceptions import ParameterError
from tests.estimators import checks_of

METHODS = ("knn", "mahalanobis")


@checks_of(OODDetector(), OODDetector("mahalanobis"))
def test_scikit_learn_finds_an_outlier_detector(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    """Rows of the digits below 8, their labels, and rows of 8 and 9."""
    pixels, labels = load_digits(return_X_y=True)
    return pixels[labels < 8], labels[labels < 8], pixels[labels >= 8]


@pytest.mark.parametrize(("method", "least"), [("knn", 0.9), ("mahalanobis", 0.85)])
def test_unknown_digits_are_detected(digits, method, least):
    known, labels, unknown = digits
    detector = OODDetector(method).fit(known[::2], labels[::2])
    scores = np.concatenate([detector.score_samples(known[1::2]), detector.score_samples(unknown)])
    truth = np.repeat([1, 0], [len(known[1::2]), len(unknown)])
    assert roc_auc_score(truth, scores) > least


def test_classes_make_the_mahalanobis_distance_better(digits):
    known, labels, unknown = digits
    rows, truth = np.concatenate([known[1::2], unknown]), np.repeat([1, 0], [len(known[1::2]), len(unknown)])
    without, relative = (
        roc_auc_score(truth, OODDetector("mahalanobis").fit(known[::2], y).score_samples(rows))
        for y in (None, labels[::2])
    )
    assert relative > without


@pytest.mark.parametrize("method", METHODS)
def test_fewer_rows_than_columns_do(digits, method):
    known, labels, unknown = digits
    scores = OODDetector(method).fit(known[:30], labels[:30]).score_samples(unknown)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_share_of_outliers_is_the_one_asked_for(digits, method):
    known, labels, _ = digits
    found = OODDetector(method, contamination=0.1).fit(known, labels).predict(known) == -1
    assert found.mean() == pytest.approx(0.1, abs=0.005)


def test_a_training_row_is_not_its_own_neighbor(digits):
    known = digits[0][:200]
    detector = OODDetector(n_neighbors=1).fit(known)
    assert (detector.score_samples(known) < -0.01).mean() > 0.99


@pytest.mark.parametrize(
    "parameters", [{"method": "nn"}, {"n_neighbors": 0}, {"contamination": 0}, {"contamination": 0.6}]
)
def test_wrong_parameters_are_refused(digits, parameters):
    with pytest.raises(ParameterError, match=r"Expected|Unknown"):
        OODDetector(**parameters).fit(digits[0])
