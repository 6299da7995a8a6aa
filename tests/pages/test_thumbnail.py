import base64
import io

import numpy as np
from PIL import Image

from featx.pages import thumbnail


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_photo_is_drawn_small_and_keeps_its_shape(photos):
    picture = decoded(thumbnail(photos[0], side=96))
    assert picture.format == "JPEG"
    assert picture.size == (96, 64)


def test_a_tiny_image_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    assert (np.asarray(decoded(thumbnail(pixels)).convert("L")) == pixels).all()


def test_an_image_that_cannot_be_read_has_no_picture(tmp_path):
    assert thumbnail(tmp_path / "missing.jpg") == ""
