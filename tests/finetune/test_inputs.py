"""What is read is what the tuned layers begin with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import ImageWarning, InputError
from featx.finetune._inputs import read_inputs
from featx.finetune._tunable import make_tunable


def test_activations_pass_the_frozen_layers_once(crops, tiny):
    encoder = featx.ImageEncoder(tiny, verbose=0)
    tunable = make_tunable(extraction_of(encoder).spec, 4, "conv2")
    inputs, Z, usable = read_inputs(crops, encoder, tunable, probe=True)
    assert (inputs.shape, len(usable)) == ((len(crops), 6, 15, 15), len(crops))
    np.testing.assert_array_equal(Z, encoder.transform(crops))
    features = []
    tunable.head.register_forward_pre_hook(lambda _node, inputs: features.append(inputs[0]))
    with torch.inference_mode():
        tunable.module(torch.from_numpy(inputs))
    np.testing.assert_allclose(features[0].numpy(), Z, atol=1e-4)


def test_the_whole_network_begins_with_pixels(crops, tiny):
    encoder = featx.ImageEncoder(tiny, verbose=0)
    tunable = make_tunable(extraction_of(encoder).spec, 4, "all")
    inputs, Z, _ = read_inputs(crops, encoder, tunable, probe=False)
    assert (inputs.shape, inputs.dtype, Z) == ((len(crops), 32, 32, 3), np.uint8, None)


@pytest.mark.parametrize("unfreeze", ["conv2", "all", "head"])
def test_unusable_images_are_left_out(crops, tiny, unfreeze):
    encoder = featx.ImageEncoder(tiny, on_error="nan", verbose=0, cache=False)
    tunable = make_tunable(extraction_of(encoder).spec, 4, unfreeze)
    with pytest.warns(ImageWarning, match="row 1"):
        *_, usable = read_inputs([crops[0], b"no image", crops[1]], encoder, tunable, probe=False)
    assert usable.tolist() == [0, 2]


@pytest.mark.filterwarnings("ignore::featx.FeatxWarning")
def test_images_of_which_none_can_be_used_are_refused(tiny):
    encoder = featx.ImageEncoder(tiny, on_error="nan", verbose=0)
    tunable = make_tunable(extraction_of(encoder).spec, 4, "conv2")
    with pytest.raises(InputError, match="none can be used"):
        read_inputs([b"no image", b"nor this"], encoder, tunable, probe=False)


def test_a_feature_that_is_a_map_is_pooled_for_the_head(crops):
    maps = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    encoder = featx.ImageEncoder(featx.Encoder.from_module(maps, preprocess=featx.Preprocess(size=8)), verbose=0)
    tunable = make_tunable(extraction_of(encoder).spec, 2, "head")
    inputs, *_ = read_inputs(crops, encoder, tunable, probe=False)
    np.testing.assert_allclose(inputs, encoder.transform(crops), atol=1e-6)


def test_images_that_cannot_be_used_are_told_once(crops, tiny):
    encoder = featx.ImageEncoder(tiny, on_error="nan", on_missing="nan", verbose=0, cache=False)
    tunable = make_tunable(extraction_of(encoder).spec, 4, "all")
    with pytest.warns(ImageWarning, match="2 of 4") as told:
        _, Z, usable = read_inputs([crops[0], b"no image", None, crops[1]], encoder, tunable, probe=True)
    assert len(told) == 1
    assert usable.tolist() == [0, 3]
    np.testing.assert_array_equal(Z[usable], encoder.transform(crops[:2]))
    assert np.isnan(Z[1:3]).all()
