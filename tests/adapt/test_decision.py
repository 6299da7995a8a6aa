from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from featx.adapt._evaluate import Outcome
from featx.adapt._tables import (
    best_method,
    choose_blindly,
    decide_methods,
    draw_methods,
    draw_views,
    parameter_text,
    summary_table,
    write_verdict,
)
from featx.compare import HeldOut


def scores_of(share, seed=0, n=200, folds=5):
    rng = np.random.default_rng(seed)
    return [(rng.random(n) < share).astype(float) for _ in range(folds)]


def held_out_of(outcomes):
    """Different rows in each fold, as cross-validation has them."""
    scores = next(iter(outcomes.values())).sample_scores or scores_of(0.5)
    ends = np.cumsum([len(score) for score in scores])
    units = [np.arange(end - len(score), end) for end, score in zip(ends, scores, strict=True)]
    return HeldOut(units, 1 / (len(scores) - 1))


def decided(outcomes):
    return decide_methods(outcomes, held_out_of(outcomes))


def table_of(outcomes):
    return summary_table(outcomes, decided(outcomes), held_out_of(outcomes))


def outcomes_of(labelled=True, **shares):
    """By method: its accuracy, and an unsupervised score of the same size."""
    outcomes = {}
    for i, (name, share) in enumerate(shares.items()):
        outcomes[name] = Outcome(sample_scores=scores_of(share, i) if labelled else [], seconds=2.0)
        if name != "oracle":
            rows = np.random.default_rng(i).normal(size=(2, 30, 4))
            outcomes[name].score, outcomes[name].distances, outcomes[name].view = share, [1.5], tuple(rows)
    if "coral" in outcomes:
        outcomes["coral"].value = 0.1
    return outcomes


def verdict_of(outcomes):
    return " ".join(write_verdict(outcomes, decided(outcomes)))


def test_it_helps_if_one_method_beats_the_source():
    verdict = verdict_of(outcomes_of(source=0.5, coral=0.8, ot=0.3, oracle=0.9))
    assert verdict.startswith("helps: accuracy 0.7")
    assert "with coral, the best method" in verdict
    assert "97.5 % interval" in verdict
    assert "with labels of the target" in verdict
    assert "would choose coral: 0.784 (+31.1 points, 97.5 % interval +20.0 to +42.2)." in verdict
    assert "2407.11676" not in verdict


def test_a_choice_without_labels_that_gains_nothing_is_reported_though_another_helps():
    outcomes = outcomes_of(source=0.5, coral=0.8, ot=0.3, oracle=0.9)
    outcomes["ot"].score = 0.95
    verdict = verdict_of(outcomes)
    assert verdict.startswith("helps: ")
    assert "would choose ot: 0.310 (-16.3 points, 97.5 % interval -23.5 to -9.1): tuned so, no gain is shown" in verdict
    assert "2407.11676" in verdict
    outcomes["source"].score = 0.99
    assert "would choose the source alone: tuned so, no gain is shown here. In published benchmarks" in verdict_of(
        outcomes
    )


def test_it_hurts_if_every_method_is_worse():
    verdict = verdict_of(outcomes_of(source=0.8, coral=0.5, ot=0.3))
    assert verdict.startswith("hurts: ")
    assert "In published benchmarks too" in verdict


def test_equal_methods_are_undecided_and_the_benchmark_is_quoted():
    verdict = verdict_of(outcomes_of(source=0.7, coral=0.7, ot=0.3))
    assert verdict.startswith("undecided: ")
    assert "gain nothing over the source alone (arXiv:2407.11676)" in verdict


def test_without_labels_no_gain_is_claimed():
    verdict = verdict_of(outcomes_of(labelled=False, source=0.5, coral=0.8))
    assert verdict.startswith("undecided: without labels of the target no gain can be known")
    assert "prefers coral (0.800, source 0.500)" in verdict
    assert "prefers the source alone (0.900);" in verdict_of(outcomes_of(labelled=False, source=0.9, coral=0.8))


def test_scores_that_are_all_nan_prefer_nothing():
    verdict = verdict_of(outcomes_of(labelled=False, source=np.nan, coral=np.nan))
    assert "No method has an unsupervised score that is a number; label some images" in verdict
    assert "nan" not in verdict


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(0, 99))
def test_changing_sides_turns_the_decision_around(one, other, seed):
    turned = {"helps": "hurts", "hurts": "helps", "undecided": "undecided"}
    a, b = Outcome(sample_scores=scores_of(one, seed, 50)), Outcome(sample_scores=scores_of(other, seed + 1, 50))
    first, second = decided({"source": a, "ot": b}), decided({"source": b, "ot": a})
    assert first.decision == turned[second.decision]
    assert first.corrected["ot"].low == pytest.approx(-second.corrected["ot"].high)


def test_more_methods_need_more_evidence():
    few = decided(outcomes_of(source=0.5, coral=0.6))
    many = decided(outcomes_of(source=0.5, coral=0.6, ot=0.5, subspace=0.5, dann=0.5))
    assert many.corrected["coral"].low < few.corrected["coral"].low


def test_the_oracle_is_not_a_method():
    assert set(decided(outcomes_of(source=0.5, coral=0.5, oracle=1.0)).corrected) == {"coral"}
    assert verdict_of(outcomes_of(source=0.5, coral=0.5, oracle=1.0)).startswith("undecided")


def test_a_difference_is_the_methods_accuracy_minus_the_sources():
    outcomes = outcomes_of(source=0.5, coral=0.8, oracle=0.9)
    table = table_of(outcomes)
    assert table.loc["coral", "difference"] == pytest.approx(table["accuracy"]["coral"] - table["accuracy"]["source"])
    assert table.loc["coral", "difference_low"] < table.loc["coral", "difference"] < table["difference_high"]["coral"]
    assert table.loc[["source", "oracle"], "difference"].isna().all()
    assert table.loc["coral", "parameter"] == "shrinkage=0.1"


def test_the_table_without_labels_has_scores_and_distances():
    outcomes = outcomes_of(labelled=False, source=0.5, coral=0.8)
    table = table_of(outcomes)
    assert table[["accuracy", "low", "high", "difference"]].isna().all(axis=None)
    assert table["unsupervised_score"].tolist() == [0.5, 0.8]
    assert table["proxy_a"].tolist() == [1.5, 1.5]


def test_an_interval_begins_at_zero_and_ends_at_one():
    bad, good = np.eye(1, 12)[0], np.r_[np.ones(49), 0]
    outcomes = {"source": Outcome(sample_scores=[bad] * 3), "ot": Outcome(sample_scores=[good] * 3)}
    held_out = HeldOut([np.arange(50) + 50 * i for i in range(3)], 0.5)
    table = summary_table({"source": outcomes["source"]}, None, held_out_of(outcomes))
    table.loc["ot"] = summary_table({"ot": outcomes["ot"]}, None, held_out).loc["ot"]
    assert (table.loc["source", "low"], table.loc["ot", "high"]) == (0, 1)


def test_of_equal_scores_the_source_is_chosen_and_a_score_that_is_nan_never():
    assert choose_blindly(outcomes_of(source=0.8, coral=0.8)) == "source"
    assert choose_blindly(outcomes_of(labelled=False, source=0.1, coral=np.nan)) == "source"


@pytest.mark.parametrize(("source", "best"), [(0.5, "coral"), (0.8, "coral"), (0.95, "source")])
def test_the_best_method_is_the_most_accurate_and_the_source_where_all_hurt(source, best):
    outcomes = outcomes_of(source=source, coral=0.8, ot=0.7, oracle=0.9)
    assert best_method(outcomes, decided(outcomes)) == best


@pytest.mark.parametrize(("source", "best"), [(0.9, "source"), (0.5, "ot")])
def test_without_labels_the_best_is_what_the_verdict_prefers(source, best):
    blind = outcomes_of(labelled=False, source=source, coral=0.4, ot=0.7)
    assert best_method(blind, None) == best
    assert f"prefers {'the source alone' if best == 'source' else best} (" in verdict_of(blind)


def test_parameters_are_named():
    assert parameter_text("subspace", Outcome(value=20)) == "n_components=20"
    assert parameter_text("ot", Outcome(value=0)) == "entropy=0"
    assert parameter_text("standardize", Outcome()) == ""


def test_each_method_has_a_row_with_its_interval():
    table = table_of(outcomes_of(source=0.5, coral=0.8, oracle=0.9))
    ax = draw_methods(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["source", "coral", "oracle"]
    intervals = [tuple(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "-"]
    assert intervals == list(zip(table["low"], table["high"], strict=True))
    assert ax.get_xlabel() == "accuracy on the target"


def test_without_labels_the_unsupervised_scores_are_drawn():
    ax = draw_methods(table_of(outcomes_of(labelled=False, source=0.5, coral=0.8)))
    assert ax.get_xlabel().startswith("unsupervised score")
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [0.5, 0.8]


def test_one_column_is_drawn_on_a_line():
    rows = np.arange(8.0)[:, None]
    (ax,) = draw_views({"before": (rows[:4], rows[4:])}).axes
    assert all(np.ptp(dots.get_offsets()[:, 1]) == 0 for dots in ax.collections)


def test_methods_are_drawn_on_given_axes():
    own = Figure().add_subplot()
    assert draw_methods(table_of(outcomes_of(source=0.5, coral=0.8)), own) is own


def test_domains_that_lie_apart_are_drawn_apart():
    rows = np.random.default_rng(0).normal(size=(40, 5))
    figure = draw_views({"before": (rows[:20] + 20, rows[20:]), "after": (rows[:20], rows[20:])})
    before, after = figure.axes
    assert [text.get_text() for text in before.get_legend().get_texts()] == ["source", "target"]
    gaps = [abs(np.diff([dots.get_offsets()[:, 0].mean() for dots in ax.collections])[0]) for ax in (before, after)]
    assert gaps[0] > 10 * gaps[1]
