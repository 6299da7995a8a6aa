"""Every object of a model can be another in its copy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from featx.persistence._rebuild import rebuild

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
    scaler = StandardScaler()
    first, second = rebuild(
        [scaler, make_pipeline(scaler)],
        lambda part: StandardScaler(with_mean=False) if part is scaler else part,
    )
    assert first is second[0]
    assert not first.with_mean


def test_functions_and_classes_are_asked_about_too():
    seen = []
    rebuild(make_pipeline(FunctionTransformer(swapped)), lambda part: seen.append(part) or part)
    assert swapped in seen
    assert FunctionTransformer in seen
