import numpy as np
from PIL import Image

from featx.auditing._calibration import calibrate
from featx.auditing._copies import make_copies
from featx.auditing._look import Whitening, few_pixels


def measured(arrays):
    images = [Image.fromarray(array).convert("RGB") for array in arrays]
    looks = np.array([few_pixels(image) for image in images])
    whitening = Whitening(looks)
    rows = range(min(60, len(images)))
    return calibrate(whitening(looks), whitening, rows, [images[i] for i in rows])


def test_of_photos_plain_copies_are_not_missed(crops):
    calibration = measured(crops)
    assert calibration.threshold == 0.9
    assert calibration.missed["saved as JPEG"] <= 0.05
    assert calibration.missed["half the size"] == calibration.missed["cropped"] == 0
    assert calibration.false_share <= 0.001


def test_where_images_look_alike_the_threshold_is_higher():
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 20, (3, 8, 8, 3))
    mixed = np.tensordot(rng.normal(size=(300, 3)), patterns, 1)  # three numbers tell these images apart
    alike = [np.kron(image, np.ones((8, 8, 1))).clip(0, 255).astype("uint8") for image in 128 + mixed]
    calibration = measured(alike)
    assert calibration.threshold > 0.97
    assert calibration.false_share <= 0.0011


def test_copies_among_the_images_do_not_raise_the_threshold(crops):
    jpegs = [np.asarray(make_copies(Image.fromarray(crop))["saved as JPEG"]) for crop in crops]
    assert measured([*crops, *crops]).threshold == measured([*crops, *jpegs, *jpegs]).threshold == 0.9


def test_few_images_get_a_careful_constant(photos):
    calibration = measured(photos)
    assert not calibration.measured
    assert calibration.threshold == 0.95
    assert np.isnan(calibration.false_share)
