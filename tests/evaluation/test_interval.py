import numpy as np
import pytest

from featx.evaluation._interval import fold_interval


def test_the_interval_is_students_with_the_correction_for_overlap():
    values = np.array([1.0, 2.0, 4.0])
    low, high = fold_interval(values, test_share=0.5)
    half = 4.302653 * values.std(ddof=1) * np.sqrt(1 / 3 + 0.5)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-5)


def test_one_fold_has_no_interval():
    assert np.isnan(fold_interval([0.5], 0.25)).all()


def test_a_mean_over_folds_that_share_rows_is_beyond_its_interval_as_seldom_as_stated():
    """Scores of folds correlate by the share of a test set, which is what the correction is derived from."""
    rng, test_share, n = np.random.default_rng(0), 0.25, 5
    correlation = test_share / (1 + test_share)
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, n))
    values = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    intervals = np.array([fold_interval(row, test_share) for row in values])
    beyond = np.mean((intervals[:, 0] > 0) | (intervals[:, 1] < 0))
    assert 0.04 < beyond < 0.06
