import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import featx
from featx._image_encoder import extraction_of
from featx.extraction import _rate, decode_some, decoding_rate, network_rate


def spec(encoder):
    return extraction_of(featx.ImageEncoder(encoder)).spec


class Noting:
    """A runtime that remembers its batches."""

    batch_size = 4

    def __init__(self):
        self.sizes = []

    def run(self, batch):
        self.sizes.append(len(batch))
        return np.zeros((len(batch), 1))


def test_decoded_images_are_spread_over_those_given(tiny, crops):
    whole = decode_some(spec(tiny), crops)
    some = decode_some(spec(tiny), crops, 3)
    assert len(whole) == len(crops)
    assert [image.tobytes() for image in some] == [whole[i].tobytes() for i in (0, 20, 39)]


def test_unreadable_and_missing_images_are_passed_over(tiny, crops):
    assert len(decode_some(spec(tiny), [crops[0], None, b"no image", "missing.jpg"])) == 1
    assert decode_some(spec(tiny), []) == []


def test_the_rate_counts_images_in_whole_batches_of_all_threads(monkeypatch):
    runtime, clock = Noting(), itertools.count()
    monkeypatch.setattr(_rate, "time", SimpleNamespace(perf_counter=lambda: 0.4 * next(clock)))
    rate = network_rate(runtime, np.zeros((3, 8, 8, 3), np.uint8), 2)
    assert runtime.sizes == 2 * [4, 4, 4, 4]  # two batches a thread; then again, until half a second is over
    assert rate == pytest.approx(32 / 0.8)


def test_a_pause_before_the_first_batch_leaves_a_rate(monkeypatch, tiny, crops):
    clock = itertools.count()
    monkeypatch.setattr(_rate, "time", SimpleNamespace(perf_counter=lambda: 9 * next(clock)))
    assert network_rate(Noting(), np.zeros((3, 8, 8, 3), np.uint8), 2) == pytest.approx(16 / 9)
    assert decoding_rate(spec(tiny), crops, 2) == pytest.approx(len(crops) / 9)


def test_the_rate_of_decoding_counts_readable_images_alone(tiny, crops, monkeypatch):
    monkeypatch.setattr(_rate, "_SECONDS", 0.05)
    assert decoding_rate(spec(tiny), crops, 2) > 0
    assert decoding_rate(spec(tiny), [b"no image"], 2) == 0
