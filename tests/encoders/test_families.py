"""Other libraries' networks as their authors meant them: a small member of every family; all of the rest by hand.

``python -m tests.benchmarks.families`` prints the table of all families.
"""

from __future__ import annotations

import pytest

pytest.importorskip("timm")

from tests.encoders.families import (
    SMALL,
    SMALL_TORCHVISION,
    classifier_error,
    feature_error,
    pixel_shift,
    timm_transforms,
    torchvision_transforms,
)

# In float32; the same operations in the same order give the same numbers, but for folding and threads.
NEAR = 1e-5
# Libraries round the resized image's sides, and the corner of the crop, to whole pixels; featx cuts where they would
# be unrounded. Half a pixel each, at worst.
SHIFT = 1.0


@pytest.mark.parametrize("name", SMALL)
def test_the_feature_of_a_timm_model_is_timms_own(name):
    before_logits, without_classifier, _ = feature_error(name)
    assert before_logits < NEAR
    assert without_classifier < NEAR


@pytest.mark.parametrize("name", SMALL_TORCHVISION)
def test_the_feature_of_a_torchvision_model_is_what_its_last_layer_takes(name):
    assert classifier_error(name)[0] < NEAR


def test_what_timms_models_see_is_where_timm_has_it():
    found = {name: preprocess and pixel_shift(preprocess, own) for name, preprocess, own in timm_transforms()}
    assert len(found) > 100
    refused = {name.partition("_")[0] for name, shift in found.items() if shift is None}
    assert refused <= {"volo", "vit"}  # a frame of black, images that are not square
    assert {name: shift for name, shift in found.items() if shift is not None and not shift <= SHIFT} == {}


def test_what_torchvisions_models_see_is_where_torchvision_has_it():
    found = {name: pixel_shift(preprocess, own) for name, preprocess, own in torchvision_transforms()}
    assert {name: shift for name, shift in found.items() if not shift <= SHIFT} == {}
