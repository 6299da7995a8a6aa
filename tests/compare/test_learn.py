import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score

from featx.compare._draws import make_draws
from featx.compare._head import bare
from featx.compare._learn import Arm, Question, learn

RNG = np.random.default_rng(0)
Y = np.arange(60) % 2
Z = RNG.normal(size=(60, 4)) + np.outer(Y, [2, 0, 0, 0])


def outcome_of(y, estimator, scoring=None, size=30, Z=Z, ticks=None):
    regression = y.dtype.kind == "f"
    question = Question(y, None, regression, scoring)
    draws = make_draws(y, 4, None, regression, np.random.default_rng(0))
    arm = Arm("arm", Z.__getitem__, bare(estimator))
    return learn(arm, question, draws, size, lambda: ticks is not None and ticks.append(1)), draws, arm


def test_the_mean_of_credits_is_the_score_of_a_draw():
    ticks = []
    outcome, draws, arm = outcome_of(Y, LogisticRegression(), ticks=ticks)
    for draw, score in zip(draws, outcome.scores, strict=True):
        fitted = LogisticRegression().fit(Z[draw.train[:30]], Y[draw.train[:30]])
        assert score == pytest.approx(fitted.score(Z[draw.test], Y[draw.test]))
    assert len(ticks) == 4
    assert arm.seconds > 0


@pytest.mark.parametrize("columns", [1, 2])
def test_the_mean_of_credits_is_r2_for_numbers(columns):
    y = Z[:, :columns] + RNG.normal(size=(60, columns))
    y = y[:, 0] if columns == 1 else y
    outcome, draws, _ = outcome_of(y, LinearRegression())
    expected = [r2_score(y[draw.test], got) for draw, got in zip(draws, outcome.predicted, strict=True)]
    np.testing.assert_allclose(outcome.scores, expected)


def test_a_scoring_of_ones_own_gives_one_number_a_draw():
    outcome, _, _ = outcome_of(Y, LogisticRegression(), "roc_auc")
    assert [len(credit) for credit in outcome.credits] == [1] * 4


def test_shuffled_labels_are_learnt_by_chance_only():
    shuffled = RNG.permutation(np.arange(400) % 2)
    outcome, _, _ = outcome_of(shuffled, LogisticRegression(), Z=RNG.normal(size=(400, 4)), size=300)
    assert abs(outcome.scores.mean() - 0.5) < 0.1


def test_confidence_is_the_largest_probability():
    outcome, _, _ = outcome_of(Y, LogisticRegression())
    assert (outcome.confidence[0] >= 0.5).all()
    outcome, _, _ = outcome_of(Z[:, 0] + 0.1, LinearRegression())
    assert np.isnan(outcome.confidence[0]).all()
