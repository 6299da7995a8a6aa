import numpy as np
import pytest

from featx.transfer.report._map import embed_plane, map_rows


def test_two_heaps_stay_apart():
    rng = np.random.default_rng(0)
    plane = embed_plane(rng.normal(size=(60, 20)) + np.repeat([[0], [20]], 30, axis=0))
    assert plane.min() >= 0
    assert plane.max() <= 1
    first, second = plane[:30].mean(axis=0), plane[30:].mean(axis=0)
    assert np.linalg.norm(first - second) > 2 * plane[:30].std()


@pytest.mark.parametrize("n", [5, 12])
def test_a_few_points_have_a_place_each(n):
    assert np.isfinite(embed_plane(np.random.default_rng(0).normal(size=(n, 8)))).all()


def test_constant_embeddings_lie_in_one_place():
    assert (embed_plane(np.ones((6, 4))) == 0.5).all()


def test_many_rows_are_sampled_the_same_each_time():
    rows = map_rows(5000)
    assert len(set(rows)) == 2000
    assert (np.diff(rows) > 0).all()
    assert (rows == map_rows(5000)).all()
