import base64
import io

import numpy as np
import pytest
from PIL import Image

from featx.compare._map import SHEET_COLUMNS, SIDE, draw_sheet, embed_plane, map_rows


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


def test_pictures_stand_in_rows_of_the_sheet():
    n = SHEET_COLUMNS + 2
    sources = [np.full((9, 9), 20 if i == n - 1 else 200, np.uint8) for i in range(n)]
    sheet = Image.open(io.BytesIO(base64.b64decode(draw_sheet(sources).partition(",")[2]))).convert("L")
    assert sheet.size == (SIDE * SHEET_COLUMNS, SIDE * 2)
    middle = SIDE // 2
    assert abs(sheet.getpixel((middle, SIDE + middle)) - 200) < 9
    assert abs(sheet.getpixel((SIDE + middle, SIDE + middle)) - 20) < 9


def test_2000_photos_are_a_small_sheet(crops):
    sheet = draw_sheet([crops[i % len(crops)] for i in range(2000)])
    assert len(sheet) < 3_000_000


def test_an_image_that_is_gone_stays_grey():
    assert draw_sheet(["missing.jpg"]).startswith("data:image/jpeg")
