from __future__ import annotations

import numpy as np
import pytest

from featx._validate import check_choice, check_integer, check_number
from featx.exceptions import ParameterError, UnknownNameError


@pytest.mark.parametrize(("value", "minimum"), [(1, 1), (np.int64(7), 1), (0, 0), (2, 2)])
def test_an_integer_comes_back_as_pythons(value, minimum):
    checked = check_integer("n", value, minimum)
    assert checked == value
    assert type(checked) is int


@pytest.mark.parametrize(
    ("value", "minimum", "expected"),
    [
        (0, 1, "a positive integer"),
        (-1, 1, "a positive integer"),
        (-1, 0, "a non-negative integer"),
        (1, 2, "an integer of 2 or more"),
        (True, 1, "a positive integer"),
        (2.0, 1, "a positive integer"),
        ("3", 1, "a positive integer"),
        (None, 1, "a positive integer"),
    ],
)
def test_what_is_no_such_integer_is_refused(value, minimum, expected):
    with pytest.raises(ParameterError, match=f"Got n=.*Expected {expected}"):
        check_integer("n", value, minimum)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), 0])
def test_a_number_comes_back_as_pythons(value):
    checked = check_number("share", value, 0, 1)
    assert checked == value
    assert type(checked) is float


@pytest.mark.parametrize(
    ("value", "closed", "fits"),
    [
        (0, "both", True),
        (0, "left", True),
        (0, "right", False),
        (0, "neither", False),
        (1, "both", True),
        (1, "left", False),
        (1, "right", True),
        (1, "neither", False),
        (2, "both", False),
        (-1, "both", False),
    ],
)
def test_the_ends_of_an_interval_count_as_scikit_learn_has_it(value, closed, fits):
    if fits:
        assert check_number("share", value, 0, 1, closed=closed) == value
    else:
        with pytest.raises(ParameterError, match="Got share="):
            check_number("share", value, 0, 1, closed=closed)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.5", None, 1j])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ParameterError, match=r"Got share=.*Expected a number\.$"):
        check_number("share", value)


def test_the_interval_is_told_in_words():
    with pytest.raises(ParameterError, match=r"Got share=2\. Expected a number above 0 and up to 1\.$"):
        check_number("share", 2, 0, 1, closed="right")
    with pytest.raises(ParameterError, match=r"Expected a number from 0\.$"):
        check_number("share", -2, 0, closed="left")


def test_one_of_the_choices_is_accepted():
    check_choice("quantize", None, (None, "int8"))
    check_choice("quantize", "int8", (None, "int8"))


@pytest.mark.parametrize("value", ["int", 8, np.zeros(3), True])
def test_another_value_gets_the_choices(value):
    with pytest.raises(UnknownNameError, match=r"quantize.*'int8'.*None is accepted too"):
        check_choice("quantize", value, (None, "int8"))
