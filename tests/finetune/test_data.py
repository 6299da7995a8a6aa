"""Images are read once, as what the tuned layers begin with, and come in batches, which may change at random."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import featx
from featx._image_encoder import extraction_of
from featx.encoders import resolve
from featx.exceptions import ImageReadError, ImageWarning, InputError, ParameterError, TrainingError, UnknownNameError
from featx.extraction import Options
from featx.finetune._data import AUGMENTS, Inputs, Rows, make_augment, read_inputs, read_pixels
from featx.finetune._tunable import TunableNetwork, make_tunable
from featx.images import PixelPath, as_column
from tests.networks import TINY, tiny_encoder

(SPEC,) = resolve(tiny_encoder())


def test_pixels_are_those_that_an_encoder_gets(files):
    pixels, usable = read_pixels(as_column(files), SPEC, Options(n_threads=2))
    assert usable.all()
    for path, image in zip(files, pixels, strict=True):
        assert np.array_equal(image, PixelPath(TINY)(path)[1])


def test_a_bad_image_is_listed():
    with pytest.raises(ImageReadError, match=r"row 1.*no such file"):
        read_pixels(as_column([np.zeros((4, 4), np.uint8), "missing.jpg"]), SPEC, Options())


def test_a_bad_image_may_be_left_out():
    column = as_column([np.zeros((4, 4), np.uint8), "missing.jpg", None])
    with pytest.warns(ImageWarning, match="2 of 3"):
        _, usable = read_pixels(column, SPEC, Options(on_error="nan", on_missing="nan"))
    assert usable.tolist() == [True, False, False]


def test_a_full_temporary_folder_is_reported_before_anything_is_written(full_disk):
    column = as_column([np.zeros((4, 4), np.uint8)] * 50)
    with full_disk(100_000), pytest.raises(TrainingError, match=r"153,600 bytes.*TMPDIR") as caught:
        read_pixels(column, SPEC, Options())
    assert tempfile.gettempdir() in str(caught.value)


def test_the_file_has_its_room_from_the_start(monkeypatch):
    """A sparse file has none: a write beyond the disk's end kills the process."""
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system cannot keep room for a file")
    sizes = []
    real = np.memmap

    def noted(file, *given, **kept):
        sizes.append(os.fstat(file.fileno()).st_blocks * 512)
        return real(file, *given, **kept)

    monkeypatch.setattr(np, "memmap", noted)
    pixels, _ = read_pixels(as_column([np.zeros((4, 4), np.uint8)] * 50), SPEC, Options())
    assert sizes[0] >= pixels.nbytes


def read(images, encoder, unfreeze, *, embeddings=False) -> tuple[TunableNetwork, Inputs]:
    tunable = make_tunable(extraction_of(encoder).spec, 4, unfreeze)
    return tunable, read_inputs(images, encoder, tunable.node, tunable.shape, embeddings=embeddings)


def test_activations_pass_the_frozen_layers_once(crops, tiny):
    encoder = featx.ImageEncoder(tiny, verbose=0)
    tunable, found = read(crops, encoder, "conv2", embeddings=True)
    assert (found.values.shape, len(found.usable)) == ((len(crops), 6, 15, 15), len(crops))
    np.testing.assert_array_equal(found.embeddings, encoder.transform(crops))
    features = []
    tunable.head.register_forward_pre_hook(lambda _node, inputs: features.append(inputs[0]))
    with torch.inference_mode():
        tunable.module(torch.from_numpy(found.values))
    np.testing.assert_allclose(features[0].numpy(), found.embeddings, atol=1e-4)


def test_the_whole_network_begins_with_pixels(crops, tiny):
    _, found = read(crops, featx.ImageEncoder(tiny, verbose=0), "all")
    assert (found.values.shape, found.values.dtype, found.embeddings) == ((len(crops), 32, 32, 3), np.uint8, None)


@pytest.mark.parametrize("unfreeze", ["conv2", "all", "head"])
def test_unusable_images_are_left_out(crops, tiny, unfreeze):
    encoder = featx.ImageEncoder(tiny, on_error="nan", verbose=0, cache=False)
    with pytest.warns(ImageWarning, match="row 1"):
        _, found = read([crops[0], b"no image", crops[1]], encoder, unfreeze)
    assert found.usable.tolist() == [0, 2]


@pytest.mark.filterwarnings("ignore::featx.FeatxWarning")
def test_images_of_which_none_can_be_used_are_refused(tiny):
    encoder = featx.ImageEncoder(tiny, on_error="nan", verbose=0)
    with pytest.raises(InputError, match="none can be used"):
        read([b"no image", b"nor this"], encoder, "conv2")


def test_a_feature_that_is_a_map_is_pooled_for_the_head(crops):
    maps = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    encoder = featx.ImageEncoder(featx.Encoder.from_module(maps, preprocess=featx.Preprocess(size=8)), verbose=0)
    _, found = read(crops, encoder, "head")
    np.testing.assert_allclose(found.values, encoder.transform(crops), atol=1e-6)


def test_images_that_cannot_be_used_are_reported_once(crops, tiny):
    encoder = featx.ImageEncoder(tiny, on_error="nan", on_missing="nan", verbose=0, cache=False)
    with pytest.warns(ImageWarning, match="2 of 4") as warned:
        _, found = read([crops[0], b"no image", None, crops[1]], encoder, "all", embeddings=True)
    assert len(warned) == 1
    assert found.usable.tolist() == [0, 3]
    np.testing.assert_array_equal(found.embeddings[found.usable], encoder.transform(crops[:2]))
    assert np.isnan(found.embeddings[1:3]).all()


def some_rows(**changes) -> Rows:
    """Rows 0 and 1 of a first task, row 2 of a second one."""
    values = {
        "inputs": [np.arange(4.0, dtype=np.float32).reshape(2, 2), 10 + np.arange(6.0, dtype=np.float32).reshape(3, 2)],
        "targets": [np.array([0, 1]), np.array([2, 3, 4])],
        "tasks": np.array([0, 0, 1]),
        "positions": np.array([0, 1, 2]),
        "weights": np.array([1, 2, 3], np.float32),
    }
    return Rows(**{**values, **changes})


def test_a_batch_holds_rows_of_each_task():
    inputs, y = some_rows().__getitems__([2, 0])
    assert inputs.tolist() == [[14, 15], [0, 1]]
    assert {name: values.tolist() for name, values in y.items()} == {"target": [4, 0], "weight": [3, 1], "task": [1, 0]}


def test_a_loader_asks_for_whole_batches():
    batches = list(DataLoader(some_rows(), batch_size=2, collate_fn=lambda batch: batch))
    assert [len(inputs) for inputs, _ in batches] == [2, 1]


def test_pixels_come_with_their_channels_first_and_are_changed():
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    one = {"tasks": np.zeros(1, int), "positions": np.zeros(1, int), "weights": np.ones(1, np.float32)}
    inputs, _ = some_rows(inputs=[pixels], targets=[np.array([0])], augment=lambda images: images + 1, **one)[0]
    assert torch.equal(inputs, torch.from_numpy(pixels + 1).permute(0, 3, 1, 2))


def noise(n: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=generator)


@settings(deadline=None)
@given(st.sampled_from(AUGMENTS), st.integers(1, 5), st.integers(4, 20), st.integers(0, 99))
def test_a_seed_decides_and_shape_and_type_stay(name, n, side, seed):
    given, change = noise(n, side), make_augment(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = change(given)
        torch.manual_seed(seed)
        assert torch.equal(first, change(given))
    assert (first.shape, first.dtype) == (given.shape, torch.uint8)
    assert set(first.unique().tolist()) <= set(given.unique().tolist())


def test_flipped_images_are_mirrored_or_not():
    given = noise(40, 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        changed = make_augment("flip")(given)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(changed, given, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(changed, given, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 10 < sum(mirrored) < 30


def test_shifted_images_hold_most_of_the_image():
    given = noise(20, 16)
    changed = make_augment("shift")(given)
    assert not torch.equal(changed, given)
    for after, before in zip(changed, given, strict=True):
        assert any(
            torch.equal(after[:, 4:12, 4:12], before[:, 4 + y : 12 + y, 4 + x : 12 + x])
            for y in range(-2, 3)
            for x in range(-2, 3)
        )


def test_a_function_gets_one_image_at_a_time():
    assert torch.equal(make_augment(lambda image: 255 - image)(noise(3, 4)), 255 - noise(3, 4))


@pytest.mark.parametrize("wrong", [lambda image: image.float(), lambda image: image[:, 1:], lambda image: None])
def test_a_function_that_returns_something_else_is_named(wrong):
    with pytest.raises(ParameterError, match=r"lambda.*returned"):
        make_augment(wrong)(noise(2, 4))


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="flip"):
        make_augment("flips")
