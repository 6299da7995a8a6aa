import time

import numpy as np

import featx
from featx.extraction import decode_some, decoding_rate, network_rate


def spec(encoder):
    return featx.ImageEncoder(encoder)._specs()[0]


class Slow:
    """A runtime that takes 20 ms a batch, whatever is in it."""

    batch_size = 4

    def __init__(self):
        self.sizes = set()

    def run(self, batch):
        self.sizes.add(len(batch))
        time.sleep(0.02)
        return np.zeros((len(batch), 1))


def test_decoded_images_are_spread_over_those_given(tiny, crops):
    whole = decode_some(spec(tiny), crops)
    some = decode_some(spec(tiny), crops, 3)
    assert len(whole) == len(crops)
    assert [image.tobytes() for image in some] == [whole[i].tobytes() for i in (0, 20, 39)]


def test_unreadable_and_missing_images_are_passed_over(tiny, crops):
    assert len(decode_some(spec(tiny), [crops[0], None, b"no image", "missing.jpg"])) == 1
    assert decode_some(spec(tiny), []) == []


def test_the_rate_counts_images_in_whole_batches_of_all_threads():
    runtime = Slow()
    rate = network_rate(runtime, np.zeros((3, 8, 8, 3), np.uint8), 2)
    assert runtime.sizes == {4}
    assert 40 < rate <= 2 * 4 / 0.02


def test_the_rate_of_decoding_counts_readable_images_alone(tiny, crops):
    assert decoding_rate(spec(tiny), crops, 2) > 0
    assert decoding_rate(spec(tiny), [b"no image"], 2) == 0
