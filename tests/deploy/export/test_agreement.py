"""Two sets of answers: equal ones agree, and no difference that counts passes unnoticed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from featx.deploy.export._agreement import TOLERANCE, compare, decided_by_rounding

NUMBERS = ("probabilities", "decision", "embedding")
ARRAYS = nps.arrays(
    st.sampled_from([np.float32, np.float64]),
    nps.array_shapes(min_dims=1, max_dims=2, max_side=6),
    elements=st.floats(width=32),
)
FINITE = nps.arrays(np.float64, nps.array_shapes(min_dims=1, max_dims=2, max_side=6), elements=st.floats(-1e6, 1e6))


@given(st.sampled_from(NUMBERS), ARRAYS)
def test_equal_numbers_agree_also_where_they_are_not_finite(name, numbers):
    agreement = compare({name: numbers}, {name: numbers.copy()})
    assert agreement.where == []
    assert agreement.errors == {name: 0}


@given(st.data(), st.sampled_from(NUMBERS), FINITE)
def test_a_difference_above_the_tolerance_never_passes(data, name, numbers):
    unit = 1 if name == "probabilities" else max(1, np.abs(numbers).max())
    place = data.draw(st.integers(0, numbers.size - 1))
    got = numbers.copy()
    got.flat[place] += data.draw(st.sampled_from([-1, 1])) * unit * data.draw(st.floats(1.01, 1e6)) * TOLERANCE
    agreement = compare({name: numbers}, {name: got})
    (where,) = agreement.where
    assert f"in 1 of {len(numbers)} rows" in where
    assert f"row {place // (numbers.size // len(numbers))}:" in where
    assert agreement.errors[name] > TOLERANCE


@given(st.data(), st.sampled_from(NUMBERS), FINITE)
def test_a_difference_below_the_tolerance_is_reported_and_forgiven(data, name, numbers):
    got = numbers + data.draw(st.floats(-0.9, 0.9)) * TOLERANCE
    agreement = compare({name: numbers}, {name: got})
    assert agreement.where == []
    assert agreement.errors[name] <= TOLERANCE


@given(st.data(), st.lists(st.sampled_from("abc"), min_size=1))
def test_a_label_that_changed_never_passes(data, labels):
    row = data.draw(st.integers(0, len(labels) - 1))
    got = [*labels[:row], "other", *labels[row + 1 :]]
    agreement = compare({"label": np.array(labels)}, {"label": np.array(got)})
    assert agreement.where == [
        f"labels differ in 1 of {len(labels)} rows, first in row {row}: {labels[row]!r} became 'other'"
    ]
    assert agreement.labels_equal == pytest.approx(1 - 1 / len(labels))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("other", [0, 1e30, np.nan, np.inf, -np.inf])
def test_an_odd_number_is_like_itself_alone(odd, other):
    got = {"decision": np.array([1, other])}
    assert bool(compare({"decision": np.array([1, odd])}, got).where) == (repr(odd) != repr(other))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_an_odd_number_hides_no_difference_in_another_row(odd):
    expected, got = np.array([odd, 1.0, 2.0]), np.array([odd, 1.0, 5.0])
    assert "row 2" in compare({"decision": expected}, {"decision": got}).where[0]


def test_float32_and_float64_infinities_are_the_same():
    expected = np.array([[np.inf, 1.0], [-np.inf, np.nan]])
    assert compare({"decision": expected}, {"decision": expected.astype(np.float32)}).where == []


@pytest.mark.parametrize("name", ["label", *NUMBERS])
@pytest.mark.parametrize("shape", [(3,), (2, 1), (1,), (1, 2), ()])
def test_another_shape_disagrees(name, shape):
    agreement = compare({name: np.zeros(2, int)}, {name: np.zeros(shape, int)})
    assert agreement.where == [f"{name} has shape {shape}, expected (2,)"]


@pytest.mark.parametrize(
    ("labels", "other"),
    [
        (["a", "b"], ["a", "c"]),
        ([3, 5], [3, 7]),
        ([True, False], [True, True]),
        (["1", "2"], [1, 2]),
        ([1, 2], ["1", "2"]),
    ],
    ids=str,
)
def test_labels_of_any_kind_are_held_against_each_other(labels, other):
    assert compare({"label": np.array(labels)}, {"label": np.array(labels)}).where == []
    assert "labels differ" in compare({"label": np.array(labels)}, {"label": np.array(other)}).where[0]


def test_a_regression_is_compared_in_numbers_and_a_classification_into_floats_in_labels():
    expected, got = np.array([1000.0, 2.0]), np.array([1000.0, 2.05])
    assert compare({"label": expected}, {"label": got}).where == []
    assert compare({"label": expected}, {"label": got}).labels_equal is None
    scores = {"decision": np.array([1.0, 2.0])}
    assert "labels differ" in compare({"label": expected, **scores}, {"label": got, **scores}).where[0]


@pytest.mark.parametrize(
    "scores",
    [
        {"decision": np.array([1e-5])},
        {"decision": np.array([[3.0, 3.0001, -7.0]])},
        {"probabilities": np.array([[0.50001, 0.49999]])},
    ],
    ids=str,
)
def test_of_a_tie_either_label_is_right(scores):
    agreement = compare({"label": np.array(["a"]), **scores}, {"label": np.array(["b"])})
    assert agreement.where == []
    assert agreement.labels_equal == 0


@pytest.mark.parametrize(
    "scores",
    [
        {"decision": np.array([1e-3])},
        {"decision": np.array([[3.0, 3.001, -7.0]])},
        {"probabilities": np.array([[0.501, 0.499]])},
        {"probabilities": np.array([[np.nan, np.nan]])},
    ],
    ids=str,
)
def test_what_is_nearly_a_tie_is_none(scores):
    assert compare({"label": np.array(["a"]), **scores}, {"label": np.array(["b"])}).where


def test_what_is_not_in_both_is_not_compared():
    expected = {"label": np.array(["a"]), "decision": np.array([1.0])}
    assert compare(expected, {"label": np.array(["a"]), "embedding": np.zeros((1, 2))}).errors == {}


def test_an_agreement_is_json():
    both = {"label": np.array(["a", "b"]), "probabilities": np.float32([[1, 0], [0, 1]])}
    data = json.loads(json.dumps(compare(both, both).to_dict()))
    assert data == {"rows": 2, "labels_equal": 1, "probabilities_error": 0, "threshold_flips": 0}


def test_rows_that_rounding_decides_are_counted_and_nothing_else_of_them():
    expected = {"label": np.array(["a", "b", "a"]), "probabilities": np.array([[1.0, 0], [0, 1], [1, 0]])}
    got = {"label": np.array(["b", "b", "a"]), "probabilities": np.array([[0.0, 1], [0, 1], [1, 0]])}
    agreement = compare(expected, got, np.array([True, False, False]))
    assert (agreement.where, agreement.errors, agreement.flips) == ([], {"probabilities": 0}, 1)
    assert not agreement.exceeds(0)
    assert agreement.labels_equal == pytest.approx(2 / 3)


def test_an_embedding_that_is_wrong_is_no_matter_of_rounding_or_of_tolerance():
    expected, got = np.zeros((4, 2)), np.array([[0, 0], [0, 1], [0, 0], [0, 0]])
    agreement = compare({"embedding": expected}, {"embedding": got}, np.ones(4, bool))
    assert agreement.where
    assert agreement.exceeds(0.99)


@given(st.integers(0, 10), st.floats(0, 0.99))
def test_a_share_of_rows_may_differ_and_no_more(wrong, tolerance):
    labels = np.array(["a"] * 10)
    agreement = compare({"label": labels}, {"label": np.where(np.arange(10) < wrong, "b", labels)})
    assert agreement.off.sum() == wrong
    assert agreement.exceeds(tolerance) == (wrong / 10 > tolerance)


@pytest.mark.parametrize(("distance", "found"), [(1e-7, True), (-1e-7, True), (0, True), (1e-4, False), (-1e-4, False)])
def test_a_row_on_a_threshold_is_one_whose_answer_changes_by_a_hair(distance, found):
    rows = np.array([[0.3 + distance, 5], [3, -4]], np.float32)

    def answer(rows):
        return {"label": np.where(rows[:, 0] <= np.float32(0.3), "left", "right")}

    np.testing.assert_array_equal(decided_by_rounding(answer, rows, answer(rows)), [found, False])
