"""torch tensors are images with their channels first, wherever that is one possible reading and the other is not."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from featx.exceptions import InputError
from featx.images import DecodeError, as_column, load, to_pixels


def pixels(images: object) -> list[np.ndarray]:
    return [np.asarray(to_pixels(source)) for source in as_column(images).sources]


@pytest.fixture
def photo(photos) -> np.ndarray:
    return photos[0][:40, :60].copy()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_batch_with_channels_first_is_one_image_a_row(photo, channels):
    rgba = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])[:, :, :channels]
    batch = torch.from_numpy(rgba).permute(2, 0, 1)[None].repeat(2, 1, 1, 1)
    expected = pixels([np.ascontiguousarray(rgba)] * 2)
    np.testing.assert_array_equal(pixels(batch), expected)
    np.testing.assert_array_equal(pixels(list(batch)), expected)
    np.testing.assert_array_equal(pixels(tuple(batch)), expected)


def test_a_batch_with_channels_last_is_taken_where_nothing_else_is_possible(photo):
    np.testing.assert_array_equal(pixels(torch.from_numpy(photo)[None].repeat(2, 1, 1, 1)), [photo] * 2)
    np.testing.assert_array_equal(pixels([torch.from_numpy(photo)]), [photo])


def test_grey_images_without_channels_are_taken_where_nothing_else_is_possible(photo):
    grey = torch.from_numpy(photo[:, :, 0])
    expected = np.repeat(photo[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(pixels(grey[None].repeat(5, 1, 1)), [expected] * 5)
    np.testing.assert_array_equal(pixels([grey]), [expected])


@pytest.mark.parametrize("shape", [(3, 40, 60), (1, 40, 60), (4, 40, 60), (40, 60, 3), (3, 40, 3)])
def test_one_image_is_refused_with_what_to_do(shape):
    with pytest.raises(InputError, match=r"Pass it in a list: \[image\]"):
        as_column(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize("shape", [(2, 3, 40, 3), (5, 1, 8, 4)])
def test_what_has_two_readings_is_refused_with_what_to_do(shape):
    with pytest.raises(InputError, match=r"first or last.*permute\(0, 2, 3, 1\)"):
        as_column(torch.zeros(shape, dtype=torch.uint8))
    with pytest.raises(DecodeError, match=r"first or last.*permute\(1, 2, 0\)"):
        to_pixels(torch.zeros(shape[1:], dtype=torch.uint8))


@pytest.mark.parametrize("shape", [(2, 5, 40, 60), (40,), (), (1, 2, 3, 4, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"Expected \(n, channels, height, width\)"):
        as_column(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize("shape", [(2, 40, 60), (2, 3, 40, 60), (40,)])
def test_a_source_of_another_shape_is_a_bad_row(shape):
    with pytest.raises(DecodeError, match=r"expected \(channels, height, width\)"):
        to_pixels(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [
        (torch.float32, r"\(X \* 255\)\.round\(\)\.to\(torch\.uint8\)"),
        (torch.bfloat16, r"\(X \* 255\)"),
        (torch.int64, r"X\.to\(torch\.uint8\)"),
        (torch.uint16, r">> 8"),
        (torch.bool, r"\* 255"),
    ],
    ids=str,
)
def test_other_dtypes_are_refused_with_the_conversion(dtype, hint):
    batch = torch.zeros((2, 3, 8, 9), dtype=dtype)
    with pytest.raises(InputError, match=hint):
        as_column(batch)
    with pytest.raises(DecodeError, match=hint):
        to_pixels(batch[0])
    if dtype.is_floating_point:
        with pytest.raises(InputError, match=hint):
            as_column(batch.requires_grad_())


def test_strided_and_subclassed_tensors_are_read(photo):
    class Photo(torch.Tensor):
        pass

    batch = torch.from_numpy(photo).permute(2, 0, 1)[None]
    np.testing.assert_array_equal(pixels(batch[:, :, ::2, 1:50:3]), [photo[::2, 1:50:3]])
    np.testing.assert_array_equal(pixels(batch.as_subclass(Photo)), [photo])
    np.testing.assert_array_equal(pixels(batch.to(memory_format=torch.channels_last)), [photo])


def test_a_tensor_and_its_array_are_one_image(photo):
    tensor = torch.from_numpy(photo).permute(2, 0, 1)
    assert load(tensor)[0] == load(photo)[0]


def test_a_tensor_on_another_device_is_read_from_there():
    class Elsewhere(torch.Tensor):
        def cpu(self):
            return torch.zeros((2, 3, 8, 9), dtype=torch.uint8)

    assert len(as_column(torch.ones((2, 3, 8, 9), dtype=torch.uint8).as_subclass(Elsewhere)).sources) == 2
    assert pixels(torch.ones((2, 3, 8, 9), dtype=torch.uint8).as_subclass(Elsewhere))[0].max() == 0


def test_images_never_import_torch():
    code = "import sys, featx.images; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
