"""Threads decode and encode batches; the consumer gets them in order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.extraction._batches import CHANGED, encode_ahead, rest
from featx.images import PixelPath, Preprocess, load

SMALL = PixelPath(Preprocess(size=16))


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def colours(batch):
    """A network: the mean colour."""
    return batch.mean((1, 2)).astype(np.float32)


def digested(images):
    return [(image, load(image)[0]) for image in images]


def encode(images, pool, run=colours, batch_size=4, ahead=2):
    return list(encode_ahead(images, run, path=SMALL, batch_size=batch_size, pool=pool, ahead=ahead))


def test_rows_come_in_order(crops, pool):
    batches = encode(digested(crops[:9]), pool)
    assert [batch.positions for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    expected = colours(np.stack([SMALL(crop)[1] for crop in crops[:9]]))
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), expected)


def test_a_bad_image_is_a_reason_in_its_place(crops, pool):
    (batch,) = encode([*digested(crops[:1]), (b"junk", b""), *digested(crops[1:2])], pool)
    assert batch.positions == [0, 2]
    assert len(batch.rows) == 2
    assert list(batch.reasons) == [1]
    assert "not an image" in batch.reasons[1]


def test_a_batch_of_bad_images_alone_is_not_run(pool):
    def never(_batch):
        raise AssertionError("run with nothing")

    (batch,) = encode([(b"junk", b"")] * 3, pool, never)
    assert batch.rows is None
    assert sorted(batch.reasons) == [0, 1, 2]


def test_content_that_is_not_what_was_digested_is_refused(crops, pool):
    (batch,) = encode([(crops[0], bytes(16))], pool)
    assert batch.reasons == {0: CHANGED}


def test_what_is_not_consumed_is_not_decoded(crops, pool):
    ran = []

    def note(batch):
        ran.append(len(batch))
        return colours(batch)

    batches = encode_ahead(digested(crops), note, path=SMALL, batch_size=2, pool=pool, ahead=2)
    next(batches)
    batches.close()
    pool.submit(int).result()  # what was begun is done
    assert sum(ran) <= 2 * (2 + 2)


def test_batches_are_run_by_several_threads_at_once(crops, pool):
    both = threading.Barrier(2, timeout=600)

    def meet(batch):
        both.wait()
        return colours(batch)

    assert len(encode(digested(crops[:8]), pool, meet)) == 2


def test_an_error_of_the_network_reaches_the_consumer_after_what_was_begun(crops, pool):
    first = colours(np.stack([SMALL(crop)[1] for crop in crops[:4]]))
    others = threading.Barrier(2, timeout=600)

    def broken(batch):
        others.wait()  # two batches are under way
        if np.array_equal(colours(batch), first):
            raise RuntimeError("no memory")
        return colours(batch)

    batches, got = encode_ahead(digested(crops[:8]), broken, path=SMALL, batch_size=4, pool=pool, ahead=2), []
    with pytest.raises(RuntimeError, match="no memory"):
        got.extend(batch.positions for batch in batches)
    assert got == [[4, 5, 6, 7]]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("the consumer's own")])
def test_an_interrupted_consumer_gets_the_rest_of_what_was_begun(error, crops, pool):
    ran = []

    def note(batch):
        ran.append(len(batch))
        return colours(batch)

    batches = encode_ahead(digested(crops), note, path=SMALL, batch_size=2, pool=pool, ahead=3)
    got = [next(batches), *rest(batches, error)]
    assert sum(len(batch.positions) for batch in got) == sum(ran)
    assert len(ran) < 20
    assert next(batches, None) is None


def test_a_consumer_whose_producer_failed_has_no_rest(crops, pool):
    batches = encode_ahead([], colours, path=SMALL, batch_size=2, pool=pool, ahead=3)
    assert next(batches, None) is None
    assert list(rest(batches, ValueError("late"))) == []


@given(good=st.lists(st.booleans(), max_size=20), batch_size=st.integers(1, 7), ahead=st.integers(1, 4))
def test_every_good_image_has_its_row_and_every_bad_one_its_reason(pool, good, batch_size, ahead):
    shades = [np.full((4, 4, 3), i, np.uint8) for i in range(len(good))]
    images = [(shade, load(shade)[0] if ok else b"") for shade, ok in zip(shades, good, strict=True)]
    rows, reasons = {}, {}
    for batch in encode(images, pool, batch_size=batch_size, ahead=ahead):
        assert len(batch.positions) + len(batch.reasons) <= batch_size
        rows |= dict(zip(batch.positions, batch.rows[:, 0] if batch.positions else [], strict=True))
        reasons |= batch.reasons
    assert rows == {i: i for i, ok in enumerate(good) if ok}
    assert reasons == {i: CHANGED for i, ok in enumerate(good) if not ok}
