from matplotlib.figure import Figure

from featx.compare._plot import draw_curves
from featx.compare._tables import interval_table
from tests.compare.test_tables import HELPED


def test_each_arm_has_a_curve_on_the_logarithm():
    ax = draw_curves(interval_table(HELPED), "accuracy")
    assert [line.get_label() for line in ax.lines] == ["hog", "pretrained"]
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "accuracy"


def test_axes_of_ones_own_are_drawn_on():
    own = Figure().add_subplot()
    assert draw_curves(interval_table(HELPED), "accuracy", own) is own
