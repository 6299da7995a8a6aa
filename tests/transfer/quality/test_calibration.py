import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from featx.transfer.quality._calibration import calibrate
from featx.transfer.quality._look import Whitening, few_pixels


def measured(arrays):
    images = [Image.fromarray(array).convert("RGB") for array in arrays]
    looks = np.array([few_pixels(image) for image in images])
    whitening = Whitening(looks)
    rows = range(min(60, len(images)))
    return calibrate(whitening(looks), whitening, rows, [images[i] for i in rows])


def test_of_photos_plain_copies_are_not_missed(crops):
    calibration = measured(crops)
    assert calibration.missed["saved as JPEG"] == calibration.missed["half the size"] == 0
    assert calibration.false_share <= 0.002


def test_where_images_look_alike_few_false_pairs_are_bought_with_missed_copies():
    digits = (load_digits().images * 15).astype("uint8")[:500]
    calibration = measured(digits)
    assert calibration.false_share <= 0.0011
    assert calibration.missed["half the size"] > 0.5


def test_copies_among_the_images_do_not_raise_the_threshold(crops):
    assert measured([*crops, *crops]).threshold == pytest.approx(measured(crops).threshold, abs=0.02)


def test_few_images_get_a_careful_constant(photos):
    calibration = measured(photos)
    assert not calibration.measured
    assert calibration.threshold >= 0.98
    assert np.isnan(calibration.false_share)
