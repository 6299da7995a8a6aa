import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.compare import Fold, HeldOut, decide, paired_gain, sample_interval
from featx.compare._decision import error_reduction
from featx.evaluation import fold_interval
from tests.benchmarks.verdict import TASKS, rates


def scores_of(share, seed=0, n=200, folds=5):
    rng = np.random.default_rng(seed)
    return [(rng.random(n) < share).astype(float) for _ in range(folds)]


def held_out_of(scores, *, share=None):
    """Different rows in each fold, as cross-validation has them."""
    ends = np.cumsum([len(score) for score in scores])
    units = [np.arange(end - len(score), end) for end, score in zip(ends, scores, strict=True)]
    return HeldOut(units, 1 / (len(scores) - 1) if share is None else share)


def decided(scores, others, helps_if="all"):
    return decide(
        {name: paired_gain(scores, other) for name, other in others.items()}, held_out_of(scores), helps_if=helps_if
    )


def interval(scores, groups=None):
    held_out = held_out_of(scores)
    return sample_interval(scores, held_out if groups is None else HeldOut(groups, held_out.share))


def test_it_helps_only_if_all_rivals_are_beaten():
    good, poor, equal = scores_of(0.9), scores_of(0.5, 1), scores_of(0.9, 2)
    assert decided(good, {"hog": poor}).decision == "helps"
    assert decided(good, {"hog": poor, "pixels": equal}).decision == "undecided"


def test_it_hurts_if_one_rival_is_better():
    good, poor = scores_of(0.9), scores_of(0.5, 1)
    assert decided(poor, {"hog": good, "pixels": scores_of(0.1, 2)}).decision == "hurts"


def test_the_same_answers_leave_it_undecided():
    assert decided(scores_of(0.5), {"hog": scores_of(0.5)}).decision == "undecided"


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(0, 99))
def test_changing_sides_turns_the_decision_around(one, other, seed):
    turned = {"helps": "hurts", "hurts": "helps", "undecided": "undecided"}
    a, b = scores_of(one, seed, 50), scores_of(other, seed + 1, 50)
    assert decided(a, {"b": b}).decision == turned[decided(b, {"b": a}).decision]


def test_more_rivals_need_more_evidence_of_harm():
    few = decided(scores_of(0.5), {"a": scores_of(0.9, 1)})
    many = decided(scores_of(0.5), {name: scores_of(0.9, 1) for name in "abcd"})
    assert many.corrected["a"].high > few.corrected["a"].high
    assert many.differences["a"] == few.differences["a"]
    assert many.corrected_level == pytest.approx(1 - 0.05 / 4)


def test_several_methods_help_if_one_does_and_hurt_if_all_do():
    good = scores_of(0.9)
    gains = {"good": paired_gain(good, scores_of(0.5, 1)), "equal": paired_gain(good, scores_of(0.9, 2))}
    turned = {name: [-gain for gain in each] for name, each in gains.items()}
    held_out = held_out_of(good)
    assert [decide(gains, held_out, helps_if=when).decision for when in ("any", "all")] == ["helps", "undecided"]
    assert [decide(turned, held_out, helps_if=when).decision for when in ("any", "all")] == ["undecided", "hurts"]


@given(st.lists(st.floats(0.1, 0.9), min_size=1, max_size=4), st.integers(0, 99))
def test_help_by_any_is_harm_to_all_seen_from_the_other_side(shares, seed):
    turned = {"helps": "hurts", "hurts": "helps", "undecided": "undecided"}
    base = scores_of(0.5, seed, 50)
    gains = {f"{i}": paired_gain(scores_of(share, seed + 1 + i, 50), base) for i, share in enumerate(shares)}
    losses = {name: [-gain for gain in each] for name, each in gains.items()}
    by_any, by_all = (
        decide(each, held_out_of(base), helps_if=when) for each, when in ((gains, "any"), (losses, "all"))
    )
    assert by_any.decision == turned[by_all.decision]
    assert by_any.corrected["0"].low == pytest.approx(-by_all.corrected["0"].high)


def test_folds_that_agree_by_chance_are_not_sure():
    found = interval([np.array([1.0, 1.0, 1.0, 0.0])] * 5)
    assert found.low < 0.75 < found.high


def test_copies_of_an_image_are_no_more_evidence_than_one():
    rows = [np.random.default_rng(seed).integers(0, 2, 20).astype(float) for seed in range(5)]
    copies, groups = [np.repeat(row, 7) for row in rows], [np.repeat(np.arange(20), 7) + 20 * i for i in range(5)]
    once, grouped = interval(rows), interval(copies, groups)
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))
    assert interval(copies).high - interval(copies).low <= grouped.high - grouped.low


def test_folds_that_test_the_same_rows_again_are_not_taken_for_more_rows():
    rows = [np.random.default_rng(0).integers(0, 2, 8).astype(float)] * 40
    again = sample_interval(rows, HeldOut([np.arange(8)] * 40, 0.25))
    fresh = sample_interval(rows, HeldOut([np.arange(8) + 8 * i for i in range(40)], 0.25))
    assert again.high - again.low > 1.1 * (fresh.high - fresh.low)


def test_one_group_a_fold_leaves_the_folds_as_evidence():
    rows = [np.array([1.0, 1, 0]), np.array([1.0, 0, 0]), np.array([1.0, 1, 1])]
    groups = [np.full(3, i) for i in range(3)]
    low, high = fold_interval([row.mean() for row in rows], test_share=0.5)
    found = interval(rows, groups)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_score_a_fold_will_do():
    scores = [0.8, 0.82, 0.81, 0.79, 0.8]
    found = interval([np.array([score]) for score in scores])
    assert found.mean == pytest.approx(0.804)
    assert (found.low, found.high) == pytest.approx(fold_interval(scores, test_share=0.25))


def test_the_share_of_test_rows_is_that_of_the_folds():
    folds = [Fold(np.arange(30), np.arange(30, 40))] * 3
    assert HeldOut.of(folds).share == pytest.approx(1 / 3)
    assert HeldOut.of(folds, np.arange(40) // 20).units[0].tolist() == [1] * 10
    scores = [np.random.default_rng(i).integers(0, 2, 10).astype(float) for i in range(3)]
    few, many = (sample_interval(scores, held_out_of(scores, share=share)) for share in (0.1, 1.0))
    assert few.high - few.low < many.high - many.low


def test_errors_saved_are_a_share_of_the_others_errors():
    good, poor = scores_of(0.9), scores_of(0.6, 1)
    saved = error_reduction(good, poor, held_out_of(good))
    assert saved.low < 0.75 < saved.high
    assert saved.mean == pytest.approx(0.75, abs=0.05)
    assert np.isnan(error_reduction(good, [np.ones(200)] * 5, held_out_of(good)).mean)


@pytest.mark.parametrize(
    ("task", "n_tasks"),
    [
        ("equal, 60 images", 20),
        ("labels shuffled, 300 images", 20),
        ("equal, 600 images in 60 groups", 40),  # 20 would not notice that groups are forgotten
    ],
)
def test_no_gain_is_seldom_called_help(task, n_tasks):
    assert rates(n_tasks, *TASKS[task])["helps"] <= 0.05


@pytest.mark.parametrize(
    ("task", "decision"), [("large gain, 300 images", "helps"), ("large loss, 300 images, 4 rivals", "hurts")]
)
def test_what_is_large_is_nearly_always_found(task, decision):
    assert rates(10, *TASKS[task])[decision] >= 0.95
