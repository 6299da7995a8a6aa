"""Near copies are recognized by a few pixels, and the threshold is measured on copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from featx.auditing._similarity import (
    COPY_KINDS,
    SIGNATURE_SHAPE,
    Whitening,
    calibrate,
    make_copies,
    shrink,
    signature,
    similarity,
)


def test_copies_look_alike_and_are_not_the_same(photos):
    image = Image.fromarray(photos[0]).resize((300, 200))
    for kind, copy in make_copies(image).items():
        again = np.asarray(copy.resize(image.size), float)
        difference = np.abs(again - np.asarray(image, float)).mean()
        assert 0 < difference < 25, kind


def test_an_image_of_one_pixel_can_be_copied():
    copies = make_copies(Image.new("RGB", (1, 1)))
    assert {kind: copy.size for kind, copy in copies.items()} == dict.fromkeys(COPY_KINDS, (1, 1))


def test_large_images_are_made_smaller_and_the_given_one_is_left(photos):
    image = Image.fromarray(photos[0])
    assert shrink(image).size == (512, 342)
    assert image.size == (640, 427)


def signatures_of(images):
    return np.array([signature(Image.fromarray(image)) for image in images])


def flat(*color, size=(40, 60)):
    return np.broadcast_to(np.array(color, np.uint8), (*size, 3))


def test_copies_of_every_kind_are_nearer_than_any_other_crop(crops):
    signatures = signatures_of(crops)
    whitening = Whitening(signatures)
    points = whitening(signatures)
    others = similarity(points, points)[~np.eye(len(crops), dtype=bool)]
    copies = [make_copies(Image.fromarray(crop)) for crop in crops]
    for kind in COPY_KINDS:
        of_copies = whitening(np.array([signature(made[kind]) for made in copies]))
        assert np.diagonal(similarity(points, of_copies)).min() > 0.85 > others.max()


def test_a_crop_is_recognized_from_either_side(crops):
    signatures = signatures_of([crops[0], crops[0][6:-6, 8:-8], *crops[1:]])
    points = Whitening(signatures)(signatures)
    alike = similarity(points, points)
    assert alike[0, 1] == pytest.approx(alike[1, 0], abs=1e-4)
    assert alike[0, 1] > 0.95


def test_flat_images_are_alike_if_their_color_is_the_same(crops):
    colors = [(0, 0, 0), (20, 20, 20), (255, 255, 255), (200, 0, 0), (0, 200, 0)]
    images = [flat(*color, size=size) for color in colors for size in ((40, 60), (90, 90))]
    for others in ([], list(crops)):
        signatures = signatures_of([*images, *others])
        points = Whitening(signatures)(signatures)[: len(images)]
        same = np.arange(len(images))[:, None] // 2 == np.arange(len(images)) // 2
        alike = similarity(points, points)
        assert alike[same].min() > 0.99
        assert alike[~same].max() < 0.8


def test_images_that_are_all_the_same_break_nothing():
    signatures = np.zeros((3, *SIGNATURE_SHAPE), np.uint8)
    points = Whitening(signatures)(signatures)
    np.testing.assert_allclose(similarity(points, points), 1)


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint8, st.tuples(st.integers(1, 4), *map(st.just, SIGNATURE_SHAPE))))
def test_an_image_is_wholly_like_itself_and_no_other_is_more(signatures):
    points = Whitening(signatures)(signatures)
    alike = similarity(points, points)
    np.testing.assert_allclose(np.diagonal(alike), 1, atol=1e-3)
    assert alike.max() <= 1 + 1e-3
    np.testing.assert_allclose(alike, alike.T, rtol=1e-3, atol=1e-3)


def measured(arrays):
    images = [Image.fromarray(array).convert("RGB") for array in arrays]
    signatures = np.array([signature(image) for image in images])
    whitening = Whitening(signatures)
    rows = range(min(60, len(images)))
    return calibrate(whitening(signatures), whitening, rows, [images[i] for i in rows])


def test_plain_copies_of_photos_are_not_missed(crops):
    calibration = measured(crops)
    assert calibration.threshold == 0.9
    assert calibration.missed["saved as JPEG"] <= 0.05
    assert calibration.missed["half the size"] == calibration.missed["cropped"] == 0
    assert calibration.false_share <= 0.001


def test_where_images_look_alike_the_threshold_is_higher():
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 20, (3, 8, 8, 3))
    mixed = np.tensordot(rng.normal(size=(300, 3)), patterns, 1)  # these images differ by three numbers only
    alike = [np.kron(image, np.ones((8, 8, 1))).clip(0, 255).astype("uint8") for image in 128 + mixed]
    calibration = measured(alike)
    assert calibration.threshold > 0.97
    assert calibration.false_share <= 0.0011


def test_copies_among_the_images_do_not_raise_the_threshold(crops):
    jpegs = [np.asarray(make_copies(Image.fromarray(crop))["saved as JPEG"]) for crop in crops]
    assert measured([*crops, *crops]).threshold == measured([*crops, *jpegs, *jpegs]).threshold == 0.9


def test_few_images_get_a_cautious_constant(photos):
    calibration = measured(photos)
    assert not calibration.measured
    assert calibration.threshold == 0.95
    assert np.isnan(calibration.false_share)
