"""Exact resizing is the same by every Pillow, fast resizing near it and the same on every processor."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from featx.images import Preprocess
from featx.images._resize import INTERPOLATIONS, resize_exactly, resize_fast

cykooz_resizer = pytest.importorskip("cykooz_resizer", reason="needs pip install 'featx[fast]'")

# Of `waves` resized fast: what another release of cykooz-resizer, or other vector instructions, must give too.
FROZEN = {"bilinear": "ba3488fdba92867c", "bicubic": "20768905b5aa8350", "lanczos": "499ae2c476588e14"}


def waves(width: int, height: int) -> Image.Image:
    """Concentric waves of all lengths, in integers alone: the same on every machine."""
    y, x = np.mgrid[:height, :width]
    values = np.stack([(x * x + y * y) // step % 511 for step in (64, 96, 128)], axis=2)
    return Image.fromarray(np.abs(values - 255).astype(np.uint8))


def differences(one: Image.Image, other: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(one, int) - np.asarray(other, int))


# Of `waves` resized exactly: what every Pillow must give.
EXACT = {"bilinear": "a3ef609b07635c0a", "bicubic": "2a0834a5dd1c60a9", "lanczos": "e63f8c07951c98fc"}


@pytest.mark.parametrize("interpolation", EXACT)
def test_tall_and_wide_images_are_resized_along_rows_first_by_every_pillow(interpolation):
    digest = sha256()
    for size in ((300, 400), (240, 320), (64, 900), (400, 300), (37, 41)):
        side = min(size)
        left, upper = (size[0] - side) / 2, (size[1] - side) / 2
        for box in ((0.0, 0.0, *map(float, size)), (left, upper, left + side, upper + side)):
            digest.update(resize_exactly(waves(*size), (224, 224), interpolation, box).tobytes())
    assert digest.hexdigest()[:16] == EXACT[interpolation]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(640, 427), (300, 200), (60, 40), (5, 3), (1, 1)])
def test_it_is_equal_to_pillow_but_for_a_few_levels(photos, interpolation, size):
    photo = Image.fromarray(photos[0]).resize(size)
    for share in (1.0, 0.7):
        width, height = share * size[0], share * size[1]
        box = (size[0] - width, size[1] - height, float(size[0]), float(size[1]))
        arguments = (photo, (97, 83), interpolation, box)
        apart = differences(resize_fast(*arguments), resize_exactly(*arguments))
        assert (apart == 0).mean() > 0.98
        assert apart.max() <= 2


@pytest.mark.parametrize("interpolation", FROZEN)
def test_black_and_white_is_no_further_from_pillow(interpolation):
    """Between black and white each pass of a filter goes beyond both, which is cut off: their order counts."""
    stripes = np.random.default_rng(0).integers(0, 2, (300, 400, 1)).repeat(3, 2) * 255
    arguments = (Image.fromarray(stripes.astype(np.uint8)), (224, 168), interpolation, (0.0, 0.0, 400.0, 300.0))
    apart = differences(resize_fast(*arguments), resize_exactly(*arguments))
    assert (apart == 0).mean() > 0.98
    assert apart.max() <= 2


def test_nearest_is_pillows(photos):
    box = (3.5, 2.0, 600.0, 400.5)
    arguments = (Image.fromarray(photos[0]), (50, 40), "nearest", box)
    assert not differences(resize_fast(*arguments), resize_exactly(*arguments)).any()


def test_an_image_stays_as_it_was(photos):
    photo = Image.fromarray(photos[0])
    resize_fast(photo, (50, 40), "bicubic", (0.0, 0.0, 640.0, 427.0))
    np.testing.assert_array_equal(photo, photos[0])


@pytest.mark.parametrize("interpolation", FROZEN)
def test_it_gives_what_it_gave(interpolation):
    resized = resize_fast(waves(500, 375), (224, 224), interpolation, (60.25, 20.5, 388.375, 348.625))
    assert sha256(resized.tobytes()).hexdigest()[:16] == FROZEN[interpolation]


@pytest.mark.parametrize("size", [(500, 375), (90, 120)])
def test_vector_instructions_change_no_value(photos, monkeypatch, size):
    class Plain(cykooz_resizer.Resizer):
        def __init__(self) -> None:
            super().__init__()
            self.cpu_extensions = cykooz_resizer.CpuExtensions.none

    for image in (Image.fromarray(photos[1]).resize(size), waves(*size)):
        for interpolation in FROZEN:
            arguments = (image, (224, 224), interpolation, (1.5, 2.25, 81.0, 88.0))
            vectors = resize_fast(*arguments)
            with monkeypatch.context() as patch:
                patch.setattr(cykooz_resizer, "Resizer", Plain)
                assert not differences(resize_fast(*arguments), vectors).any()


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_every_fit_may_be_resized_fast(photos, fit):
    for size in ((640, 427), (333, 500), (7, 1000), (64, 64)):
        photo = Image.fromarray(photos[0]).resize(size)
        preprocess = Preprocess(size=64, resize=72, fit=fit)
        exact, fast = preprocess(photo), preprocess(photo, resize_fast)
        apart = np.abs(fast.astype(int) - exact)
        assert (apart == 0).mean() > 0.98
        assert apart.max() <= 2
