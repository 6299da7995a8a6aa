import warnings

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
from sklearn.tree import DecisionTreeClassifier

from featx.compare import FeatureSet, Problem, choose_candidate, learn, make_head, nested_folds
from featx.compare._learn import fit_quietly, plain_head
from featx.exceptions import UnknownNameError

RNG = np.random.default_rng(0)
Y = np.arange(60) % 2
Z = RNG.normal(size=(60, 4)) + np.outer(Y, [2, 0, 0, 0])
NOISE = RNG.normal(size=(60, 40))
SIGNAL = NOISE + 3 * np.outer(Y, np.eye(40)[0])


def outcome_of(y, estimator, scoring=None, size=30, Z=Z, ticks=None):
    regression = y.dtype.kind == "f"
    problem = Problem(y, None, regression, scoring)
    folds = nested_folds(y, 4, None, regression, np.random.default_rng(0))
    features = FeatureSet("Z", Z.__getitem__, plain_head(estimator))
    return learn(features, problem, folds, size, lambda: ticks is not None and ticks.append(1)), folds, features


def test_the_mean_of_sample_scores_is_the_score_of_a_fold():
    ticks = []
    outcome, folds, features = outcome_of(Y, LogisticRegression(), ticks=ticks)
    for fold, score in zip(folds, outcome.scores, strict=True):
        fitted = LogisticRegression().fit(Z[fold.train[:30]], Y[fold.train[:30]])
        assert score == pytest.approx(fitted.score(Z[fold.test], Y[fold.test]))
    assert len(ticks) == 4
    assert features.seconds > 0


@pytest.mark.parametrize("columns", [1, 2])
def test_the_mean_of_sample_scores_is_r2_for_numbers(columns):
    y = Z[:, :columns] + RNG.normal(size=(60, columns))
    y = y[:, 0] if columns == 1 else y
    outcome, folds, _ = outcome_of(y, LinearRegression())
    expected = [r2_score(y[fold.test], got) for fold, got in zip(folds, outcome.predicted, strict=True)]
    np.testing.assert_allclose(outcome.scores, expected)


def test_another_scoring_gives_one_number_a_fold():
    outcome, _, _ = outcome_of(Y, LogisticRegression(), "roc_auc")
    assert [len(scores) for scores in outcome.sample_scores] == [1] * 4


def test_shuffled_labels_are_learnt_by_chance_only():
    shuffled = RNG.permutation(np.arange(400) % 2)
    outcome, _, _ = outcome_of(shuffled, LogisticRegression(), Z=RNG.normal(size=(400, 4)), size=300)
    assert abs(outcome.scores.mean() - 0.5) < 0.1


def test_confidence_is_the_largest_probability():
    outcome, _, _ = outcome_of(Y, LogisticRegression())
    assert (outcome.confidence[0] >= 0.5).all()
    outcome, _, _ = outcome_of(Z[:, 0] + 0.1, LinearRegression())
    assert np.isnan(outcome.confidence[0]).all()


def test_strong_regularization_is_chosen_for_noise_and_weak_for_signal():
    head = make_head("logistic")
    noisy = choose_candidate(head, 0.01 * SIGNAL + NOISE, Y, None, False, None)
    assert (
        noisy.C
        < choose_candidate(
            head, 100 * np.outer(Y, np.ones(2)) + RNG.normal(size=(60, 2)), Y, None, False, "neg_log_loss"
        ).C
    )


def test_the_grids_go_from_strong_to_weak():
    assert make_head("logistic").candidates[0].C < make_head("logistic").candidates[-1].C
    assert make_head("ridge").candidates[0].alpha > make_head("ridge").candidates[-1].alpha


@pytest.mark.parametrize("name", ["probe", "prototype"])
def test_a_named_head_that_needs_no_grid_has_one_candidate(name):
    head = make_head(name)
    assert fit_quietly(choose_candidate(head, SIGNAL, Y, None, False, None), SIGNAL, Y).score(SIGNAL, Y) > 0.9


def test_an_estimator_is_used_as_it_is():
    tree = DecisionTreeClassifier(max_depth=2)
    head = make_head(tree)
    assert choose_candidate(head, SIGNAL, Y, None, False, None).max_depth == 2
    assert plain_head(tree).prepare.fit_transform(["an image"]) == ["an image"]


def test_classes_too_rare_to_hold_out_do_not_stop_the_choice():
    y = np.array(["a"] * 10 + ["b"] * 10 + ["c"])
    assert choose_candidate(make_head("logistic"), NOISE[:21], y, None, False, None)
    assert choose_candidate(make_head("logistic"), NOISE[:2], y[9:11], None, False, None)


def test_numbers_too_few_to_test_two_of_them_do_not_stop_the_choice():
    assert choose_candidate(make_head("ridge"), NOISE[:4], np.arange(4) / 3, None, True, None)  # nor is there a warning


def test_a_fit_that_stops_early_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_quietly(LogisticRegression(max_iter=1), SIGNAL, Y)


def test_an_unknown_head_names_close_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'logistic'"):
        make_head("logistik")
