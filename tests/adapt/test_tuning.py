from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from featx.adapt._methods import METHODS, Task, build, candidates
from featx.adapt._routing import domain_routing
from featx.adapt._tuning import SCORERS, check_scorer, make_scorer, quiet, stack, tune
from featx.exceptions import ParameterError, UnknownNameError
from tests.adapt.gaussians import draw_domain

TASK = Task(LogisticRegression(), most=8, seed=0)
ROWS = stack(*draw_domain(60, 0), draw_domain(60, 1, moved=True)[0])
HALVES = [(np.arange(i, 120, 2), np.arange(1 - i, 120, 2)) for i in range(2)]


def tuned(name, scorer="circular", rows=ROWS):
    with domain_routing():
        return tune(name, TASK, rows, HALVES, scorer)


@pytest.mark.parametrize("name", ["source", "coral", "subspace", "ot", "deepcoral"])
def test_one_of_the_values_is_chosen_with_its_score(name):
    chosen = tuned(name)
    assert chosen.value in candidates(name, TASK)
    assert 0 <= chosen.score <= 1


@pytest.mark.parametrize("name", METHODS)
def test_every_scorer_judges_every_method(name):
    with domain_routing(), quiet():
        model = build(name, candidates(name, TASK)[-1], TASK).fit(ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain)
        scores = [
            make_scorer(scorer, seed=0)(model, ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain) for scorer in SCORERS
        ]
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("scorer", SCORERS)
def test_every_scorer_tunes(scorer):
    assert np.isfinite(tuned("standardize", scorer).score)


def test_a_scorer_of_skadas_is_taken_as_it_is():
    with domain_routing() as skada:
        scorer = check_scorer(skada.metrics.CircularValidation())
    assert tuned("subspace", scorer) == tuned("subspace")


def test_circular_validation_prefers_the_method_that_undoes_the_gap():
    assert tuned("standardize").score > tuned("source").score + 0.1


def test_predictions_of_one_class_are_no_warning():
    rows = stack(*draw_domain(60, 0), np.tile([[9.0] + 7 * [0.0]], (60, 1)))
    assert np.isfinite(tuned("source", rows=rows).score)


def test_an_unknown_scorer_is_named_with_close_ones():
    with pytest.raises(UnknownNameError, match="'circular'"):
        check_scorer("circula")
    with pytest.raises(UnknownNameError, match="'circular'"):
        check_scorer(["circular"])


def test_a_class_is_no_scorer():
    with domain_routing() as skada, pytest.raises(ParameterError, match=r"CircularValidation\(\)"):
        check_scorer(skada.metrics.CircularValidation)
