import warnings

import numpy as np
import pytest
from PIL import Image

from featx.auditing._copies import make_copies
from featx.auditing._crossing import warn_of_copies
from featx.exceptions import ImageWarning

ROWS = np.random.default_rng(0).normal(size=(80, 4))


def halves(n):
    """The first half tests what is trained on the second, and the other way round."""
    first, second = np.arange(n // 2), np.arange(n // 2, n)
    return [(second, first), (first, second)]


@pytest.fixture(scope="module")
def thumbnails(crops):
    return np.array([np.asarray(Image.fromarray(crop).resize((32, 32))) for crop in crops])


@pytest.fixture(scope="module")
def copies(crops):
    made = [make_copies(Image.fromarray(crop))["saved as JPEG"] for crop in crops]
    return np.array([np.asarray(copy.resize((32, 32))) for copy in made])


def test_without_copies_nothing_is_said(thumbnails):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_of_copies(ROWS[:40], halves(40), stacklevel=1) == ""
        assert warn_of_copies(ROWS[:40], halves(40), thumbnails, stacklevel=1) == ""


def test_one_pair_of_equal_rows_is_enough():
    rows = ROWS.copy()
    rows[70] = rows[3]
    with pytest.warns(ImageWarning, match=r"1 groups of copies \(1 of equal content\)") as caught:
        said = warn_of_copies(rows, halves(80), stacklevel=1)
    assert said == str(caught[0].message)
    assert caught[0].filename == __file__


def test_equal_rows_of_one_side_are_no_matter():
    rows = ROWS.copy()
    rows[5] = rows[3]
    assert warn_of_copies(rows, halves(80), stacklevel=1) == ""


def test_near_copies_are_told_by_their_pixels(thumbnails, copies):
    both = np.concatenate([thumbnails, copies])
    assert warn_of_copies(ROWS, halves(80), stacklevel=1) == ""
    with pytest.warns(ImageWarning, match=r"(39|40) groups of copies \(0 of equal content\)"):
        warn_of_copies(ROWS, halves(80), both, stacklevel=1)


def test_a_near_pair_among_many_may_be_chance(thumbnails, copies):
    turned = np.concatenate([np.rot90(thumbnails, k, (1, 2)) for k in range(4)] + [copies[:1]])
    rows = np.random.default_rng(0).normal(size=(161, 4))
    assert warn_of_copies(rows, halves(161), turned, stacklevel=1) == ""
