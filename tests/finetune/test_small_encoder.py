"""A small network for small images."""

from __future__ import annotations

import pytest
import torch

from featx.exceptions import ParameterError
from featx.finetune import FineTuneClassifier, small_encoder


def test_it_takes_small_images_and_has_few_weights():
    encoder = small_encoder()
    assert (encoder.preprocess.size, encoder.dim) == (28, 128)
    assert sum(parameter.numel() for parameter in encoder.module.parameters()) < 300_000


def test_the_seed_decides_and_the_random_state_of_the_process_stays():
    state = torch.random.get_rng_state()
    assert small_encoder(16, 4).weights == small_encoder(16, 4).weights != small_encoder(16, 4, random_state=1).weights
    assert torch.equal(state, torch.random.get_rng_state())


def test_no_gpu_is_seeded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", pytest.fail)
    small_encoder(16, 4)


def test_each_convolution_is_a_block(digits):
    X, y = digits
    with pytest.raises(ParameterError, match="has 6 blocks"):
        FineTuneClassifier(small_encoder(16, 4), unfreeze=7, verbose=0).fit(X, y)


@pytest.mark.parametrize(("size", "channels"), [(4, 8), (28, 0)])
def test_what_is_too_small_is_refused(size, channels):
    with pytest.raises(ParameterError, match="size"):
        small_encoder(size, channels)
