from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from featx.adapt._methods import METHODS, Task, build, candidates, check_methods
from featx.adapt._routing import domain_routing
from featx.adapt._tuning import quiet, stack
from featx.exceptions import ParameterError, UnknownNameError
from tests.adapt.gaussians import draw_domain

TASK = Task(LogisticRegression(), most=8, seed=0)
ROWS = stack(*draw_domain(90, 0), draw_domain(60, 1, moved=True)[0])


def predictions(name, value, rows=ROWS, new=None):
    new = draw_domain(60, 2, moved=True)[0] if new is None else new
    with domain_routing(), quiet():
        model = build(name, value, TASK).fit(rows.X, rows.y.copy(), sample_domain=rows.domain)
        return model.predict(new, sample_domain=np.full(len(new), -2))


@pytest.mark.parametrize("name", METHODS)
def test_every_value_of_every_method_predicts_classes_of_new_rows(name):
    for value in candidates(name, TASK):
        assert set(predictions(name, value)) <= {0, 1, 2}


@pytest.mark.parametrize("name", ["standardize", "coral", "ot"])
def test_methods_undo_a_stretch(name):
    truth = draw_domain(60, 2, moved=True)[1]
    gained = (predictions(name, candidates(name, TASK)[0]) == truth).mean()
    assert gained > (predictions("source", None) == truth).mean() + 0.1


def test_the_source_alone_does_not_see_the_target():
    other = stack(ROWS.X[:90], ROWS.y[:90], 100 + ROWS.X[90:])
    np.testing.assert_array_equal(predictions("source", None), predictions("source", None, other))


@pytest.mark.parametrize("name", METHODS)
def test_new_rows_are_of_the_target_where_no_domain_is_given(name):
    new = draw_domain(60, 2, moved=True)[0]
    with domain_routing(), quiet():
        model = build(name, candidates(name, TASK)[0], TASK).fit(ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain)
        np.testing.assert_array_equal(model.predict(new), model.predict(new, sample_domain=np.full(60, -1)))


@pytest.mark.parametrize("name", METHODS)
def test_a_row_that_lies_far_out_is_still_predicted(name):
    far = draw_domain(60, 2, moved=True)[0] * 1e4
    assert set(predictions(name, candidates(name, TASK)[-1], new=far)) <= {0, 1, 2}


def test_rows_of_the_source_that_lie_far_out_are_still_mapped():
    far = 1e4 * np.eye(8)[:1]
    with domain_routing(), quiet():
        model = build("ot", 0.01, TASK).fit(ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain)
        assert model.predict(far, sample_domain=np.array([1]), allow_source=True).tolist() == [0]


def test_components_are_no_more_than_there_are():
    assert candidates("subspace", TASK) == [5, 8]
    assert candidates("subspace", Task(None, most=100, seed=0)) == [5, 20, 80]


def test_the_source_comes_first_and_each_method_once():
    assert check_methods(["ot", "source", "ot"]) == ("source", "ot")
    assert check_methods("coral") == ("source", "coral")


def test_an_unknown_method_is_named_with_close_ones():
    with pytest.raises(UnknownNameError, match="'deepcoral'"):
        check_methods(["deepcorall"])
    with pytest.raises(UnknownNameError, match="'coral'"):
        check_methods([["coral"]])


def test_something_must_be_compared_with_the_source():
    with pytest.raises(ParameterError, match="at least one"):
        check_methods(["source"])


def test_methods_are_names():
    with pytest.raises(ParameterError, match="methods=None"):
        check_methods(None)
