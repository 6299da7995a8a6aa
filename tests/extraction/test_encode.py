from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.extraction._encode import CHANGED, decode_ahead, in_batches
from featx.images import Preprocess, load


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def decode(images, pool, ahead=4):
    return list(decode_ahead(images, preprocess=Preprocess(size=16), max_pixels=10**6, pool=pool, ahead=ahead))


def test_decoded_images_come_in_order(crops, pool):
    images = [(crop, load(crop)[0]) for crop in crops[:9]]
    for result, crop in zip(decode(images, pool), crops, strict=False):
        np.testing.assert_array_equal(result, Preprocess(size=16)(load(crop)[1]))


def test_a_bad_image_is_a_reason_in_its_place(crops, pool):
    results = decode([(crops[0], load(crops[0])[0]), (b"junk", b"")], pool)
    assert results[0].shape == (16, 16, 3)
    assert "not an image" in results[1]


def test_content_that_is_not_what_was_digested_is_refused(crops, pool):
    assert decode([(crops[0], bytes(16))], pool) == [CHANGED]


def test_what_is_not_consumed_is_not_decoded(crops, pool):
    images = [(crop, load(crop)[0]) for crop in crops]
    generator = decode_ahead(images, preprocess=Preprocess(size=16), max_pixels=10**6, pool=pool, ahead=2)
    assert next(generator).shape == (16, 16, 3)
    generator.close()


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 7))
def test_batches_hold_every_good_image_once_and_every_reason(good, batch_size):
    decoded = [np.full((2, 2, 3), i, np.uint8) if ok else f"bad {i}" for i, ok in enumerate(good)]
    positions, reasons = [], {}
    for chosen, batch, bad in in_batches(decoded, batch_size):
        assert len(chosen) == len(batch) <= batch_size
        assert [image[0, 0, 0] for image in batch] == chosen
        positions += chosen
        reasons |= bad
    assert positions == [i for i, ok in enumerate(good) if ok]
    assert reasons == {i: f"bad {i}" for i, ok in enumerate(good) if not ok}
