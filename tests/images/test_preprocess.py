from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.images import Preprocess

SIDES = st.integers(1, 60)


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(1, 20), st.integers(0, 8), st.sampled_from(["crop", "squash", "pad"]))
def test_every_image_becomes_a_square_of_uint8(width, height, size, margin, fit):
    result = Preprocess(size, size + margin, fit=fit)(Image.new("RGB", (width, height), "red"))
    assert (result.shape, result.dtype) == ((size, size, 3), np.uint8)
    if fit != "pad":
        assert (result == (255, 0, 0)).all()


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600), st.integers(0, 200))
def test_the_crop_is_the_centred_square_that_the_formula_names(width, height, size, margin):
    left, upper, right, lower = Preprocess(size, size + margin).box(width, height)
    side = min(width, height) * size / (size + margin)
    assert right - left == pytest.approx(side)
    assert lower - upper == pytest.approx(side)
    assert (left + right, upper + lower) == pytest.approx((width, height))
    assert min(left, upper) >= 0
    assert right <= width
    assert lower <= height


def test_it_is_pillows_resize_with_a_box(photos):
    image = Image.fromarray(photos[0])  # 640 x 427
    side = 427 * 224 / 256
    box = ((640 - side) / 2, (427 - side) / 2, (640 + side) / 2, (427 + side) / 2)
    expected = image.resize((224, 224), Image.Resampling.BICUBIC, box=box)
    np.testing.assert_array_equal(Preprocess(224, 256)(image), expected)


def test_squash_takes_the_whole_image(photos):
    image = Image.fromarray(photos[0])
    expected = image.resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(Preprocess(64, fit="squash", interpolation="bilinear")(image), expected)


def test_squash_with_resize_cuts_the_centre_of_the_squashed_image(photos):
    image = Image.fromarray(photos[0])  # 640 x 427
    got = Preprocess(192, 256, fit="squash")(image).astype(int)
    squashed = np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC))[32:-32, 32:-32].astype(int)
    assert np.abs(got - squashed).max() <= 1  # 640 and 427 are whole numbers of pixels of neither
    assert Preprocess(192, 256, fit="squash").box(640, 427) == (80, 427 / 8, 560, 427 * 7 / 8)


def test_pad_keeps_the_aspect_on_the_mean_colour():
    result = Preprocess(8, fit="pad", mean=(0.2, 0.4, 0.6))(Image.new("RGB", (20, 10), "white"))
    assert result[[0, 1, 6, 7]].tolist() == [[[51, 102, 153]] * 8] * 4
    assert (result[2:6] == 255).all()


def test_two_ways_to_say_one_thing_are_equal():
    assert Preprocess(224, 224) == Preprocess(224)
    assert Preprocess(224, 224, fit="squash") == Preprocess(224, fit="squash")
    assert Preprocess(224, 256, fit="pad") == Preprocess(224, fit="pad")
    assert Preprocess(np.int64(64), mean=[0.5, 0.5, 0.5]) == Preprocess(64, mean=(0.5, 0.5, 0.5))


def test_it_is_frozen_data():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Preprocess().size = 3
    assert hash(Preprocess()) == hash(Preprocess())


def test_it_survives_pickle_clone_and_a_round_trip_through_its_fields():
    given = Preprocess(96, 128, interpolation="lanczos", mean=(0.1, 0.2, 0.3))
    assert pickle.loads(pickle.dumps(given)) == copy.deepcopy(given) == given
    assert Preprocess(**dataclasses.asdict(given)) == given


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 2.5},
        {"size": True},
        {"resize": 100},
        {"resize": 0},
        {"size": "224"},
        {"fit": "stretch"},
        {"fit": None},
        {"interpolation": ["bicubic"]},
        {"mean": (124, 116, 104)},
        {"mean": (123.7, 116.3, 103.5)},  # of 255
        {"mean": (0.5, 0.5, -0.1)},
        {"mean": "abc"},
        {"std": (1, 1, float("nan"))},
        {"std": (1, 1, float("inf"))},
        {"interpolation": "cubic"},
        {"mean": (0.5,)},
        {"std": (0.5, 0.5, 0)},
    ],
    ids=str,
)
def test_a_wrong_value_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"Got {name}=|Unknown {name} "):
        Preprocess(**wrong)


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(1, 20))
def test_pad_shows_the_whole_image_in_the_middle(width, height, size):
    shown = (Preprocess(size, fit="pad", mean=(0, 0, 0))(Image.new("RGB", (width, height), "white")) == 255).all(axis=2)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    assert max(len(rows), len(columns)) == size
    assert shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    for line in (rows, columns):
        assert 0 <= (size - 1 - line[-1]) - line[0] <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_images_of_a_pixel_or_of_extreme_aspect_are_taken(size, fit, interpolation):
    preprocess = Preprocess(24, 32 if fit == "crop" else None, fit=fit, interpolation=interpolation)
    assert preprocess(Image.new("RGB", size, "white")).shape == (24, 24, 3)
