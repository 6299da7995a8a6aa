import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from featx.auditing._copies import WAYS, make_copies
from featx.auditing._look import LOOK_SHAPE, Whitening, few_pixels, similarity


def looks_of(images):
    return np.array([few_pixels(Image.fromarray(image)) for image in images])


def flat(*colour, size=(40, 60)):
    return np.broadcast_to(np.array(colour, np.uint8), (*size, 3))


def test_copies_in_every_way_are_nearer_than_any_other_crop(crops):
    looks = looks_of(crops)
    whitening = Whitening(looks)
    points = whitening(looks)
    others = similarity(points, points)[~np.eye(len(crops), dtype=bool)]
    copies = [make_copies(Image.fromarray(crop)) for crop in crops]
    for way in WAYS:
        of_copies = whitening(np.array([few_pixels(made[way]) for made in copies]))
        assert np.diagonal(similarity(points, of_copies)).min() > 0.85 > others.max()


def test_a_crop_is_told_from_either_side(crops):
    looks = looks_of([crops[0], crops[0][6:-6, 8:-8], *crops[1:]])
    points = Whitening(looks)(looks)
    alike = similarity(points, points)
    assert alike[0, 1] == pytest.approx(alike[1, 0], abs=1e-4)
    assert alike[0, 1] > 0.95


def test_flat_images_are_alike_if_their_colour_is_the_same(crops):
    colours = [(0, 0, 0), (20, 20, 20), (255, 255, 255), (200, 0, 0), (0, 200, 0)]
    images = [flat(*colour, size=size) for colour in colours for size in ((40, 60), (90, 90))]
    for others in ([], list(crops)):
        looks = looks_of([*images, *others])
        points = Whitening(looks)(looks)[: len(images)]
        same = np.arange(len(images))[:, None] // 2 == np.arange(len(images)) // 2
        alike = similarity(points, points)
        assert alike[same].min() > 0.99
        assert alike[~same].max() < 0.8


def test_images_that_are_all_the_same_break_nothing():
    looks = np.zeros((3, *LOOK_SHAPE), np.uint8)
    points = Whitening(looks)(looks)
    np.testing.assert_allclose(similarity(points, points), 1)


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint8, st.tuples(st.integers(1, 4), *map(st.just, LOOK_SHAPE))))
def test_an_image_is_wholly_like_itself_and_no_other_is_more(looks):
    points = Whitening(looks)(looks)
    alike = similarity(points, points)
    np.testing.assert_allclose(np.diagonal(alike), 1, atol=1e-3)
    assert alike.max() <= 1 + 1e-3
    np.testing.assert_allclose(alike, alike.T, rtol=1e-3, atol=1e-3)
