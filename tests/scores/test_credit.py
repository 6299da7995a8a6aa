import numpy as np
import pytest

from featx.scores._credit import mean_credit


def test_a_row_is_right_when_its_own_class_has_the_most():
    evidence = np.array([[0.2, 0.8], [0.9, 0.1], [-np.inf, -3.0]])
    assert mean_credit(evidence, np.array([1, 1, 1])) == pytest.approx(2 / 3)


def test_tied_classes_share_a_row_though_rounding_parts_them():
    evidence = np.array([[0.1 + 0.2, 0.3, 0.3, 0.0], [-0.3, -(0.1 + 0.2), -0.3, -1.0]])
    assert mean_credit(evidence, np.array([1, 0])) == pytest.approx(1 / 3)
    assert mean_credit(evidence, np.array([3, 3])) == 0
