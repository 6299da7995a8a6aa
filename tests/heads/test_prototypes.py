"""The nearest mean decides, in whatever order the rows came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid

from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.heads import PrototypeClassifier
from tests.estimators import checks_of

METRICS = ("cosine", "euclidean")
of_each = pytest.mark.parametrize("metric", METRICS)
X, y = load_digits(return_X_y=True)
NAMES = np.array([f"digit {digit}" for digit in y])


@checks_of(*(PrototypeClassifier(metric) for metric in METRICS))
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize(("metric", "distance"), [("cosine", "cosine"), ("euclidean", "sqeuclidean")])
def test_probabilities_are_the_softmax_of_distances_to_the_prototypes(metric, distance, n_classes):
    rows = y < n_classes
    head = PrototypeClassifier(metric, temperature=0.7).fit(X[rows], NAMES[rows])
    distances = cdist(X, head.prototypes_, distance)
    np.testing.assert_allclose(head.predict_proba(X), softmax(-distances / 0.7, axis=1), atol=1e-9)
    np.testing.assert_array_equal(head.predict(X), head.classes_[distances.argmin(axis=1)])
    nearer = (distances.mean(axis=1, keepdims=True) - distances) / 0.7
    expected = nearer[:, 1] - nearer[:, 0] if n_classes == 2 else nearer
    np.testing.assert_allclose(head.decision_function(X), expected, atol=1e-9)


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")
def test_euclidean_is_scikit_learns_nearest_centroid():
    head, other = PrototypeClassifier("euclidean").fit(X[:500], y[:500]), NearestCentroid().fit(X[:500], y[:500])
    np.testing.assert_allclose(head.prototypes_, other.centroids_)
    np.testing.assert_array_equal(head.predict(X), other.predict(X))


@of_each
@given(seed=st.integers(0, 1000), parts=st.integers(1, 7))
def test_order_and_parts_do_not_matter(metric, seed, parts):
    order = np.random.default_rng(seed).permutation(200)
    head = PrototypeClassifier(metric)
    for rows in np.array_split(order, parts):
        head.partial_fit(X[rows], NAMES[rows], classes=np.unique(NAMES))
    whole = PrototypeClassifier(metric).fit(X[:200], NAMES[:200])
    np.testing.assert_array_equal(head.class_count_, whole.class_count_)
    np.testing.assert_allclose(head.decision_function(X), whole.decision_function(X), rtol=1e-9, atol=1e-9)


@of_each
@pytest.mark.parametrize("n_classes", [2, 10])
def test_a_class_without_rows_has_the_probability_zero(metric, n_classes):
    head = PrototypeClassifier(metric)
    for known in (0, 1) if n_classes == 2 else (0,):
        head = PrototypeClassifier(metric).partial_fit(X[y == known], y[y == known], classes=range(n_classes))
        assert set(head.predict(X)) == {known}
        np.testing.assert_array_equal(head.predict_proba(X)[:, known], 1)
    rest = y != known
    head.partial_fit(X[rest & (y < n_classes)], y[rest & (y < n_classes)])
    rows = y < n_classes
    assert head.score(X[rows], y[rows]) > 0.85


def test_one_image_a_class_suffices_and_fit_begins_anew():
    head = PrototypeClassifier().fit(X[:10], y[:10])
    assert head.score(X, y) > 0.5
    head.fit(X[:10], NAMES[:10])
    assert head.class_count_.tolist() == [1] * 10
    assert head.predict(X[:2]).tolist() == ["digit 0", "digit 1"]


def test_invalid_input_is_refused():
    with pytest.raises(UnknownNameError, match=r"metric 'cosin'\. Did you mean 'cosine'"):
        PrototypeClassifier("cosin").fit(X, y)
    for temperature in (0, -1, np.inf, "hot"):
        with pytest.raises(ParameterError, match="Expected a number above 0"):
            PrototypeClassifier(temperature=temperature).fit(X, y)
    head = PrototypeClassifier().partial_fit(X[:4], y[:4])
    with pytest.raises(InputError, match=r"Got the label 4\. Expected one of \[0, 1, 2, 3\].*classes="):
        head.partial_fit(X[:5], y[:5])
    with pytest.raises(InputError, match="Expected those of the first call"):
        head.partial_fit(X[:4], y[:4], classes=range(10))
    with pytest.raises(InputError, match="1 class, 3"):
        PrototypeClassifier().fit(X[:4], [3] * 4)
