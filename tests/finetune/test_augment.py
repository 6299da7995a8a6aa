"""Images change, and stay images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.exceptions import ParameterError, UnknownNameError
from featx.finetune._augment import AUGMENTS, make_augment


def images(n: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=generator)


@settings(deadline=None)
@given(st.sampled_from(AUGMENTS), st.integers(1, 5), st.integers(4, 20), st.integers(0, 99))
def test_a_seed_decides_and_shape_and_type_stay(name, n, side, seed):
    given, change = images(n, side), make_augment(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = change(given)
        torch.manual_seed(seed)
        assert torch.equal(first, change(given))
    assert (first.shape, first.dtype) == (given.shape, torch.uint8)
    assert set(first.unique().tolist()) <= set(given.unique().tolist())


def test_flipped_images_are_mirrored_or_not():
    given = images(40, 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        changed = make_augment("flip")(given)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(changed, given, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(changed, given, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 10 < sum(mirrored) < 30


def test_shifted_images_hold_most_of_the_image():
    given = images(20, 16)
    changed = make_augment("shift")(given)
    assert not torch.equal(changed, given)
    for after, before in zip(changed, given, strict=True):
        assert any(
            torch.equal(after[:, 4:12, 4:12], before[:, 4 + y : 12 + y, 4 + x : 12 + x])
            for y in range(-2, 3)
            for x in range(-2, 3)
        )


def test_a_function_gets_one_image_at_a_time():
    assert torch.equal(make_augment(lambda image: 255 - image)(images(3, 4)), 255 - images(3, 4))


@pytest.mark.parametrize("wrong", [lambda image: image.float(), lambda image: image[:, 1:], lambda image: None])
def test_a_function_that_returns_no_such_image_is_named(wrong):
    with pytest.raises(ParameterError, match=r"lambda.*returned"):
        make_augment(wrong)(images(2, 4))


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="flip"):
        make_augment("flips")
