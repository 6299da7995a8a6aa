from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from featx.adapt._methods import Task, build, candidates
from featx.adapt._routing import domain_routing
from featx.adapt._tuning import SCORERS, check_scorer, make_scorer, quiet, stack, tune
from featx.exceptions import UnknownNameError
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


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("name", ["coral", "ot"])
def test_every_scorer_judges_shallow_and_deep_methods(name, scorer):
    assert np.isfinite(tuned(name, scorer).score)


@pytest.mark.parametrize("scorer", SCORERS)
def test_every_scorer_judges_a_network(scorer):
    with domain_routing():
        score = make_scorer(scorer, seed=0)
        with quiet():
            model = build("dann", 0.3, TASK).fit(ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain)
            assert np.isfinite(score(model, ROWS.X, ROWS.y, sample_domain=ROWS.domain))


def test_a_scorer_of_skadas_is_taken_as_it_is():
    with domain_routing() as skada:
        scorer = check_scorer(skada.metrics.CircularValidation())
    assert tuned("subspace", scorer) == tuned("subspace")


def test_circular_validation_prefers_the_method_that_undoes_the_gap():
    assert tuned("standardize").score > tuned("source").score + 0.1


def test_the_target_has_no_labels_where_tuning_looks():
    assert (ROWS.y[ROWS.domain < 0] == -1).all()
    assert (ROWS.y[ROWS.domain > 0] >= 0).all()
    assert ROWS.X.shape == (120, 8)


def test_predictions_of_one_class_are_no_warning():
    rows = stack(*draw_domain(60, 0), np.tile([[9.0] + 7 * [0.0]], (60, 1)))
    assert np.isfinite(tuned("source", rows=rows).score)


def test_an_unknown_scorer_is_named_with_close_ones():
    with pytest.raises(UnknownNameError, match="'circular'"):
        check_scorer("circula")
