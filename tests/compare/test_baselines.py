import numpy as np
import pytest
from PIL import Image

from featx.compare._baselines import baseline_features, thumbnails


def test_an_image_has_a_row_of_each_kind(crops):
    rows = baseline_features(crops[:3], ["pixels", "hog", "color"])
    assert {name: array.shape for name, array in rows.items()} == {
        "pixels": (3, 3072),
        "hog": (3, 1764),
        "color": (3, 216),
    }
    assert all(array.dtype == np.float32 for array in rows.values())


def test_pixels_are_the_image_squashed(crops):
    small = Image.fromarray(crops[0]).resize((32, 32), Image.Resampling.BICUBIC)
    row = baseline_features(crops[:1], ["pixels"])["pixels"][0]
    np.testing.assert_allclose(row.reshape(32, 32, 3), np.asarray(small) / np.float32(255))


def test_pixels_are_an_image_again(crops):
    small = Image.fromarray(crops[0]).resize((32, 32), Image.Resampling.BICUBIC)
    row = baseline_features(crops[:1], ["pixels"])["pixels"]
    np.testing.assert_array_equal(thumbnails(row), np.asarray(small)[None])


def test_colours_do_not_know_where_they_are(crops):
    rows = baseline_features([crops[0], crops[0][::-1].copy()], ["color"])["color"]
    np.testing.assert_allclose(rows[0], rows[1], atol=0.15)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_edges_hardly_know_their_brightness(crops):
    half = (crops[0] // 2).astype(np.uint8)
    rows = baseline_features([crops[0], half], ["hog"])["hog"]
    assert np.corrcoef(rows)[0, 1] > 0.8


@pytest.mark.parametrize("bad", ["missing.jpg", None])
def test_an_image_that_cannot_be_read_is_a_row_of_nan(crops, bad):
    rows = baseline_features([crops[0], bad], ["pixels", "color"])
    assert all(np.isnan(array[1]).all() and np.isfinite(array[0]).all() for array in rows.values())


def test_constant_images_have_rows():
    rows = baseline_features([np.zeros((10, 10), np.uint8)], ["pixels", "hog", "color"])
    assert all(np.isfinite(array).all() for array in rows.values())
