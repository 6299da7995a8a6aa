from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.adapt._evaluate import Outcome
from featx.adapt._verdict import best_method, choose_blindly, decide_methods, parameter_text, say, summary_table


def credits_of(share, seed=0, n=200, draws=5):
    rng = np.random.default_rng(seed)
    return [(rng.random(n) < share).astype(float) for _ in range(draws)]


def outcomes_of(labelled=True, **shares):
    """By method: its accuracy, and an unsupervised score of the same size."""
    outcomes = {}
    for i, (name, share) in enumerate(shares.items()):
        outcomes[name] = Outcome(credits=credits_of(share, i) if labelled else [], seconds=2.0)
        if name != "oracle":
            rows = np.random.default_rng(i).normal(size=(2, 30, 4))
            outcomes[name].score, outcomes[name].distances, outcomes[name].view = share, [1.5], tuple(rows)
    if "coral" in outcomes:
        outcomes["coral"].value = 0.1
    return outcomes


def said(outcomes):
    return say(outcomes, decide_methods(outcomes))


def test_it_helps_if_one_method_beats_the_source():
    verdict = said(outcomes_of(source=0.5, coral=0.8, ot=0.3, oracle=0.9))
    assert verdict.startswith("helps: accuracy 0.7")
    assert "with coral, the best method" in verdict
    assert "97.5 % interval" in verdict
    assert "with labels of the target" in verdict
    assert "would choose coral: 0.784 (+31.1 points, 97.5 % interval +20.0 to +42.2)." in verdict
    assert "2407.11676" not in verdict


def test_a_choice_without_labels_that_gains_nothing_is_said_though_another_helps():
    outcomes = outcomes_of(source=0.5, coral=0.8, ot=0.3, oracle=0.9)
    outcomes["ot"].score = 0.95
    verdict = said(outcomes)
    assert verdict.startswith("helps: ")
    assert "would choose ot: 0.310 (-16.3 points, 97.5 % interval -23.5 to -9.1): tuned so, no gain is shown" in verdict
    assert "2407.11676" in verdict
    outcomes["source"].score = 0.99
    assert "would choose the source alone: tuned so, no gain is shown here. In published benchmarks" in said(outcomes)


def test_it_hurts_if_every_method_is_worse():
    verdict = said(outcomes_of(source=0.8, coral=0.5, ot=0.3))
    assert verdict.startswith("hurts: ")
    assert "In published benchmarks too" in verdict


def test_equal_methods_are_undecided_and_the_benchmark_is_quoted():
    verdict = said(outcomes_of(source=0.7, coral=0.7, ot=0.3))
    assert verdict.startswith("undecided: ")
    assert "gain nothing over the source alone (arXiv:2407.11676)" in verdict


def test_without_labels_no_gain_is_claimed():
    verdict = said(outcomes_of(labelled=False, source=0.5, coral=0.8))
    assert verdict.startswith("undecided: without labels of the target no gain can be known")
    assert "prefers coral (0.800, source 0.500)" in verdict
    assert "prefers the source alone (0.900);" in said(outcomes_of(labelled=False, source=0.9, coral=0.8))


def test_scores_that_are_all_nan_prefer_nothing():
    verdict = said(outcomes_of(labelled=False, source=np.nan, coral=np.nan))
    assert "No method has an unsupervised score that is a number; label some images" in verdict
    assert "nan" not in verdict


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(0, 99))
def test_changing_sides_turns_the_word_around(one, other, seed):
    turned = {"helps": "hurts", "hurts": "helps", "undecided": "undecided"}
    a, b = Outcome(credits=credits_of(one, seed, 50)), Outcome(credits=credits_of(other, seed + 1, 50))
    first, second = decide_methods({"source": a, "ot": b}), decide_methods({"source": b, "ot": a})
    assert first.word == turned[second.word]
    assert first.corrected["ot"].low == pytest.approx(-second.corrected["ot"].high)


def test_more_methods_need_more_evidence():
    few = decide_methods(outcomes_of(source=0.5, coral=0.6))
    many = decide_methods(outcomes_of(source=0.5, coral=0.6, ot=0.5, subspace=0.5, dann=0.5))
    assert many.corrected["coral"].low < few.corrected["coral"].low


def test_the_oracle_is_no_method():
    assert set(decide_methods(outcomes_of(source=0.5, coral=0.5, oracle=1.0)).corrected) == {"coral"}
    assert said(outcomes_of(source=0.5, coral=0.5, oracle=1.0)).startswith("undecided")


def test_a_difference_is_the_methods_accuracy_minus_the_sources():
    outcomes = outcomes_of(source=0.5, coral=0.8, oracle=0.9)
    table = summary_table(outcomes, decide_methods(outcomes))
    assert table.loc["coral", "difference"] == pytest.approx(table["accuracy"]["coral"] - table["accuracy"]["source"])
    assert table.loc["coral", "difference_low"] < table.loc["coral", "difference"] < table["difference_high"]["coral"]
    assert table.loc[["source", "oracle"], "difference"].isna().all()
    assert table.loc["coral", "parameter"] == "shrinkage=0.1"


def test_the_table_without_labels_has_scores_and_distances():
    outcomes = outcomes_of(labelled=False, source=0.5, coral=0.8)
    table = summary_table(outcomes, decide_methods(outcomes))
    assert table[["accuracy", "low", "high", "difference"]].isna().all(axis=None)
    assert table["unsupervised_score"].tolist() == [0.5, 0.8]
    assert table["proxy_a"].tolist() == [1.5, 1.5]


def test_an_interval_begins_at_zero_and_ends_at_one():
    bad, good = np.eye(1, 12)[0], np.r_[np.ones(49), 0]
    table = summary_table({"source": Outcome(credits=[bad] * 3), "ot": Outcome(credits=[good] * 3)}, None)
    assert (table.loc["source", "low"], table.loc["ot", "high"]) == (0, 1)


def test_of_equal_scores_the_source_is_chosen_and_a_score_that_is_nan_never():
    assert choose_blindly(outcomes_of(source=0.8, coral=0.8)) == "source"
    assert choose_blindly(outcomes_of(labelled=False, source=0.1, coral=np.nan)) == "source"


@pytest.mark.parametrize(("source", "best"), [(0.5, "coral"), (0.8, "coral"), (0.95, "source")])
def test_the_best_method_is_the_most_accurate_and_the_source_where_all_hurt(source, best):
    told = outcomes_of(source=source, coral=0.8, ot=0.7, oracle=0.9)
    assert best_method(told, decide_methods(told)) == best


@pytest.mark.parametrize(("source", "best"), [(0.9, "source"), (0.5, "ot")])
def test_without_labels_the_best_is_what_the_verdict_prefers(source, best):
    blind = outcomes_of(labelled=False, source=source, coral=0.4, ot=0.7)
    assert best_method(blind, None) == best
    assert f"prefers {'the source alone' if best == 'source' else best} (" in said(blind)


def test_parameters_are_named():
    assert parameter_text("subspace", Outcome(value=20)) == "n_components=20"
    assert parameter_text("ot", Outcome(value=0)) == "entropy=0"
    assert parameter_text("standardize", Outcome()) == ""
