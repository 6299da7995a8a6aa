"""The probe finds what an exhaustive search finds, sooner."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from featx.evaluation import hold_out
from featx.exceptions import InputError, ParameterError
from featx.heads import LinearProbe, linear_probe
from tests.estimators import checks_of


# Repeated rows draw another validation split, as they do for scikit-learn's own estimators that split.
@checks_of(LinearProbe(3), but=("check_sample_weight_equivalence",))
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return StandardScaler().fit_transform(X).astype(np.float32), y


def test_it_is_close_to_an_exhaustive_search_on_the_same_split(digits):
    X, y = digits
    probe = LinearProbe(23).fit(X[:300], y[:300])
    held_out = hold_out(y[:300], 0.2, np.random.RandomState(0))
    best, test = 0, 0
    for C in probe.Cs_:
        model = LogisticRegression(C=C, max_iter=1000)
        found = model.fit(X[:300][~held_out], y[:300][~held_out]).score(X[:300][held_out], y[:300][held_out])
        if found > best:
            best, test = found, model.fit(X[:300], y[:300]).score(X[300:], y[300:])
    assert probe.scores_.max() == pytest.approx(best, abs=0.01)
    assert probe.score(X[300:], y[300:]) == pytest.approx(test, abs=0.01)


def test_the_last_fit_is_logistic_regression_of_all_rows(digits):
    X, y = digits[0][:200], np.array(list("abcdefghij"))[digits[1][:200]]
    probe = LinearProbe([1e-3, 1e-2]).fit(X, y)
    plain = LogisticRegression(C=probe.C_, max_iter=1000).fit(X.astype(float), y)  # nothing of the path is left
    assert probe.classes_.tolist() == plain.classes_.tolist()
    assert (probe.coef_.shape, probe.coef_.dtype) == (plain.coef_.shape, np.float32)
    np.testing.assert_allclose(probe.predict_proba(X), plain.predict_proba(X), atol=1e-6)


def test_noise_needs_strong_regularization_and_signal_weak():
    random = np.random.default_rng(0)
    y = np.arange(300) % 2
    noisy = random.normal(size=(300, 240))  # nearly as many columns as rows to train on
    noisy[:, :20] += 0.3 * y[:, None]
    assert LinearProbe([1e-3, 1e6]).fit(noisy, y).C_ == 1e-3
    fine = random.normal(size=(300, 2)) + [[0, 100]] * y[:, None]
    fine[:, 1] = fine[:, 1] // 50 * 1e-3  # the signal is small beside the noise of the other column
    assert LinearProbe([1e-3, 1e6]).fit(fine, y).C_ == 1e6


def test_the_default_grid_is_the_one_of_the_literature(digits):
    probe = LinearProbe().fit(digits[0][:60], digits[1][:60])
    assert probe.Cs_.shape == probe.scores_.shape == (45,)
    np.testing.assert_allclose(probe.Cs_[[0, -1]], [1e-5, 1e6])
    np.testing.assert_allclose(np.diff(np.log(probe.Cs_)), np.log(probe.Cs_[1] / probe.Cs_[0]))
    assert probe.C_ in probe.Cs_
    assert probe.scores_[probe.Cs_ == probe.C_] == probe.scores_.max()


def test_a_class_of_one_image_is_learned_all_the_same(digits):
    X, y = digits
    rows = np.r_[np.flatnonzero(y < 3)[:60], np.flatnonzero(y == 7)[:1]]
    probe = LinearProbe().fit(X[rows], y[rows])
    assert probe.predict(X[rows[-1:]]).tolist() == [7]


def test_with_one_image_of_each_class_there_is_nothing_to_choose_by(digits):
    probe = LinearProbe([0.1, 1, 10]).fit(digits[0][:10], digits[1][:10])
    assert probe.C_ == 1
    assert np.isnan(probe.scores_).all()
    assert probe.score(digits[0][:10], digits[1][:10]) == 1


def test_the_same_data_give_the_same_probe_and_another_seed_another_split(digits):
    X, y = digits[0][:120], digits[1][:120]
    once, again, other = (LinearProbe(3, random_state=seed).fit(X, y) for seed in (0, 0, 1))
    np.testing.assert_array_equal(once.coef_, again.coef_)
    assert (once.scores_ != other.scores_).any()


def test_linear_probe_scales_first(digits):
    X, y = load_digits(return_X_y=True)
    probe = linear_probe(Cs=5).fit(X[:200], y[:200])
    assert list(probe.named_steps) == ["scaler", "head"]
    expected = LinearProbe(5).fit(StandardScaler().fit_transform(X[:200]), y[:200])
    np.testing.assert_array_equal(probe[-1].coef_, expected.coef_)


@pytest.mark.parametrize(
    "parameters",
    [{"Cs": 0}, {"Cs": []}, {"Cs": [1, -1]}, {"Cs": "many"}, {"Cs": True}, {"max_iter": 0}, {"validation_fraction": 1}],
    ids=repr,
)
def test_a_parameter_that_makes_no_sense_is_named(parameters):
    with pytest.raises(ParameterError, match=f"Got {next(iter(parameters))}="):
        LinearProbe(**parameters).fit([[0.0], [1.0]], [0, 1])


def test_one_class_is_refused():
    with pytest.raises(InputError, match="1 class, 'a'"):
        LinearProbe().fit([[0.0], [1.0]], ["a", "a"])


def test_the_order_of_sums_which_more_threads_change_does_not_matter():
    random = np.random.default_rng(0)
    y = np.arange(300) % 6
    skewed = random.lognormal(sigma=1.5, size=(300, 200)) @ random.normal(size=(200, 200))
    X = StandardScaler().fit_transform(skewed + 10 * np.eye(6)[y] @ random.normal(size=(6, 200))).astype(np.float32)
    order = random.permutation(200)
    probe, other = LinearProbe().fit(X, y), LinearProbe().fit(X[:, order], y)
    assert other.C_ == probe.C_
    np.testing.assert_allclose(other.predict_proba(X[:, order]), probe.predict_proba(X), atol=1e-5)
