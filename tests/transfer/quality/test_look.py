import numpy as np
from PIL import Image

from featx.transfer.quality._copies import make_copies
from featx.transfer.quality._look import LOOK_SIZE, Whitening, few_pixels


def test_a_copy_is_nearer_than_any_other_crop(crops):
    looks = np.array([few_pixels(Image.fromarray(crop)) for crop in crops])
    whitening = Whitening(looks)
    for way in ("saved as JPEG", "half the size"):
        copies = np.array([few_pixels(make_copies(Image.fromarray(crop))[way]) for crop in crops])
        assert ((whitening(copies) @ whitening(looks).T).argmax(axis=1) == np.arange(len(crops))).all()


def test_black_images_resemble_nothing_and_break_nothing():
    black = np.zeros((3, LOOK_SIZE), "float32")
    assert (Whitening(black)(black) == 0).all()


def test_one_image_is_enough():
    row = np.ones((1, LOOK_SIZE), "float32")
    np.testing.assert_allclose(np.linalg.norm(Whitening(row)(row)), 1, rtol=1e-6)
