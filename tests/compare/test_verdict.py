import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.compare._verdict import credit_interval, decide, error_reduction
from tests.benchmarks.verdict import TASKS, rates


def credits_of(share, seed=0, n=200, draws=5):
    rng = np.random.default_rng(seed)
    return [(rng.random(n) < share).astype(float) for _ in range(draws)]


def test_it_helps_only_if_every_arm_is_beaten():
    good, poor, equal = credits_of(0.9), credits_of(0.5, 1), credits_of(0.9, 2)
    assert decide(good, {"hog": poor}).word == "helps"
    assert decide(good, {"hog": poor, "pixels": equal}).word == "undecided"


def test_it_hurts_if_one_arm_is_better():
    good, poor = credits_of(0.9), credits_of(0.5, 1)
    assert decide(poor, {"hog": good, "pixels": credits_of(0.1, 2)}).word == "hurts"


def test_the_same_answers_leave_it_undecided():
    assert decide(credits_of(0.5), {"hog": credits_of(0.5)}).word == "undecided"


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(0, 99))
def test_changing_sides_turns_the_word_around(one, other, seed):
    turned = {"helps": "hurts", "hurts": "helps", "undecided": "undecided"}
    a, b = credits_of(one, seed, 50), credits_of(other, seed + 1, 50)
    assert decide(a, {"b": b}).word == turned[decide(b, {"b": a}).word]


def test_more_arms_need_more_evidence_of_harm():
    few = decide(credits_of(0.5), {"a": credits_of(0.9, 1)})
    many = decide(credits_of(0.5), {name: credits_of(0.9, 1) for name in "abcd"})
    assert many.corrected["a"].high > few.corrected["a"].high
    assert many.differences["a"] == few.differences["a"]
    assert many.corrected_level == pytest.approx(1 - 0.05 / 4)


def test_draws_that_agree_by_chance_are_not_sure():
    right = [np.array([1.0, 1.0, 1.0, 0.0])] * 5
    interval = credit_interval(right)
    assert interval.low < 0.75 < interval.high


def test_copies_of_an_image_are_no_more_evidence_than_one():
    rows = [np.random.default_rng(seed).integers(0, 2, 20).astype(float) for seed in range(5)]
    copies, groups = [np.repeat(row, 7) for row in rows], [np.repeat(np.arange(20), 7)] * 5
    once, grouped = credit_interval(rows), credit_interval(copies, groups=groups)
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))
    assert credit_interval(copies).high - credit_interval(copies).low <= grouped.high - grouped.low


def test_a_group_a_draw_leaves_the_draws_to_tell():
    rows, groups = [np.array([1.0, 1, 0]), np.array([1.0, 0, 0]), np.array([1.0, 1, 1])], [np.zeros(3, int)] * 3
    assert credit_interval(rows, groups=groups) == credit_interval([np.array([row.mean()]) for row in rows])


def test_one_score_a_draw_will_do():
    interval = credit_interval([np.array([score]) for score in (0.8, 0.82, 0.81, 0.79, 0.8)])
    assert interval.mean == pytest.approx(0.804)
    assert 0.7 < interval.low < 0.8


def test_errors_saved_are_a_share_of_the_other_arms_errors():
    saved = error_reduction(credits_of(0.9), credits_of(0.6, 1))
    assert saved.low < 0.75 < saved.high
    assert saved.mean == pytest.approx(0.75, abs=0.05)
    assert np.isnan(error_reduction(credits_of(0.9), [np.ones(200)] * 5).mean)


@pytest.mark.parametrize("task", ["equal, 60 images", "labels shuffled, 300 images", "equal, 600 images in 60 groups"])
def test_no_gain_is_seldom_called_help(task):
    assert rates(40, *TASKS[task])["helps"] <= 0.05


@pytest.mark.parametrize(
    ("task", "word"), [("large gain, 300 images", "helps"), ("large loss, 300 images, 4 arms", "hurts")]
)
def test_what_is_large_is_nearly_always_found(task, word):
    assert rates(20, *TASKS[task])[word] >= 0.95
