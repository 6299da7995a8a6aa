"""Every class outlives the split."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.heads._hold_out import hold_out


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_each_class_keeps_a_row_and_loses_one_where_it_has_two(codes, fraction, seed):
    codes = np.unique(codes, return_inverse=True)[1]
    held_out = hold_out(codes, fraction, np.random.RandomState(seed))
    counts, lost = np.bincount(codes), np.bincount(codes[held_out], minlength=codes.max() + 1)
    assert (lost < counts).all()
    assert ((lost > 0) == (counts > 1)).all()
