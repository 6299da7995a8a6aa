from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from featx.adapt._plot import draw_methods, draw_views
from featx.adapt._verdict import decide_methods, summary_table
from tests.adapt.test_verdict import outcomes_of


def table_of(**given):
    outcomes = outcomes_of(**given)
    return summary_table(outcomes, decide_methods(outcomes))


def test_each_method_has_a_row_with_its_interval():
    table = table_of(source=0.5, coral=0.8, oracle=0.9)
    ax = draw_methods(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["source", "coral", "oracle"]
    intervals = [tuple(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "-"]
    assert intervals == list(zip(table["low"], table["high"], strict=True))
    assert ax.get_xlabel() == "accuracy on the target"


def test_without_labels_the_unsupervised_scores_are_drawn():
    ax = draw_methods(table_of(labelled=False, source=0.5, coral=0.8))
    assert ax.get_xlabel().startswith("unsupervised score")
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [0.5, 0.8]


def test_one_column_is_drawn_on_a_line():
    rows = np.arange(8.0)[:, None]
    (ax,) = draw_views({"before": (rows[:4], rows[4:])}).axes
    assert all(np.ptp(dots.get_offsets()[:, 1]) == 0 for dots in ax.collections)


def test_axes_of_ones_own_are_drawn_on():
    own = Figure().add_subplot()
    assert draw_methods(table_of(source=0.5, coral=0.8), own) is own


def test_domains_that_lie_apart_are_drawn_apart():
    rows = np.random.default_rng(0).normal(size=(40, 5))
    figure = draw_views({"before": (rows[:20] + 20, rows[20:]), "after": (rows[:20], rows[20:])})
    before, after = figure.axes
    assert [text.get_text() for text in before.get_legend().get_texts()] == ["source", "target"]
    gaps = [abs(np.diff([dots.get_offsets()[:, 0].mean() for dots in ax.collections])[0]) for ax in (before, after)]
    assert gaps[0] > 10 * gaps[1]
