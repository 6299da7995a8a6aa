import numpy as np
from PIL import Image

from featx.auditing._copies import WAYS, make_copies, shrink


def test_copies_look_alike_and_are_not_the_same(photos):
    image = Image.fromarray(photos[0]).resize((300, 200))
    for way, copy in make_copies(image).items():
        again = np.asarray(copy.resize(image.size), float)
        difference = np.abs(again - np.asarray(image, float)).mean()
        assert 0 < difference < 25, way


def test_an_image_of_one_pixel_can_be_copied():
    copies = make_copies(Image.new("RGB", (1, 1)))
    assert {way: copy.size for way, copy in copies.items()} == dict.fromkeys(WAYS, (1, 1))


def test_large_images_are_made_smaller_and_the_given_one_is_left(photos):
    image = Image.fromarray(photos[0])
    assert shrink(image).size == (512, 342)
    assert image.size == (640, 427)
