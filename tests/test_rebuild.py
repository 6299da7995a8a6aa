"""Every object of a model can be replaced in its copy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from featx._rebuild import rebuild

leaves = st.none() | st.integers() | st.text() | st.complex_numbers(allow_nan=False)
nested = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner))


@given(nested)
def test_a_change_that_changes_nothing_gives_an_equal_copy(value):
    assert rebuild(value, lambda part: part) == value


@given(nested)
def test_every_object_is_reached_however_deep_and_the_original_stays(value):
    before = repr(value)
    copied = rebuild(value, lambda part: "changed" if isinstance(part, complex) else part)
    assert repr(copied) == repr(swapped(value))
    assert repr(value) == before


def swapped(value):
    if isinstance(value, complex):
        return "changed"
    if isinstance(value, dict):
        return {key: swapped(part) for key, part in value.items()}
    return type(value)(map(swapped, value)) if isinstance(value, list | tuple) else value


def test_what_two_parts_share_they_share_in_the_copy():
    scaler, other = StandardScaler(), StandardScaler()
    first, second, third = rebuild(
        [scaler, make_pipeline(scaler, other), other],
        lambda part: StandardScaler(with_mean=False) if part is scaler else part,
    )
    assert first is second[0]
    assert not first.with_mean
    assert third is second[1]
    assert third is not other


def test_what_replaces_an_object_is_neither_copied_nor_looked_into():
    class Given:
        inner = 3 + 4j

    given = Given()
    copied = rebuild({"a": [1j, StandardScaler()]}, lambda part: given if isinstance(part, StandardScaler) else part)
    assert copied["a"][1] is given


def test_objects_can_be_named_by_their_ids():
    model = make_pipeline(StandardScaler(), FunctionTransformer())
    given = StandardScaler(with_mean=False)
    copied = rebuild(model, {id(model[0]): given})
    assert copied[0] is given
    assert copied[1] is not model[1]
    assert rebuild(model, {id(model): given}) is given


def test_functions_and_classes_are_asked_about_too():
    seen = []
    rebuild(make_pipeline(FunctionTransformer(swapped)), lambda part: seen.append(part) or part)
    assert swapped in seen
    assert FunctionTransformer in seen


def test_functions_and_classes_that_nobody_could_import_are_kept_as_they_are():
    class Local(StandardScaler):
        pass

    model = make_pipeline(Local(), FunctionTransformer(lambda X: X), FunctionTransformer(expit))
    copied = rebuild(model, {})
    assert type(copied[0]) is Local
    assert copied[0] is not model[0]
    assert copied[1].func is model[1].func
    assert copied[2].func is expit


def test_a_fitted_model_answers_alike_and_shares_no_array():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(X, y)
    copied = rebuild(model, {})
    np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))
    copied[0].mean_ += 1
    assert not np.array_equal(copied[0].mean_, model[0].mean_)


def test_what_cannot_be_taken_apart_is_an_error():
    with pytest.raises(TypeError, match="generator"):
        rebuild({"cv": (part for part in "ab")}, {})
