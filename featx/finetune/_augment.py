"""Images changed at random, anew in each epoch; torch's generator draws, so a seed decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from featx.exceptions import ParameterError, UnknownNameError

if TYPE_CHECKING:
    import torch

AUGMENTS = ("flip", "shift", "flip+shift")
# Of the side of the image: how far it is moved at most.
_SHARE = 8


def make_augment(augment: str | Callable | None) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Look up how a batch of images is changed.

    Parameters
    ----------
    augment : {"flip", "shift", "flip+shift"}, callable or None
        As of `FineTuneClassifier`; a callable takes one image.

    Returns
    -------
    callable or None
        uint8 (n, 3, size, size) -> the same.

    Raises
    ------
    UnknownNameError
        If there is no such name.

    Examples
    --------
    >>> import torch
    >>> from featx.finetune._augment import make_augment
    >>> make_augment("flip+shift")(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape
    torch.Size([2, 3, 16, 16])
    """
    if augment is None:
        return None
    if callable(augment):
        return lambda images: _apply(augment, images)
    if augment not in AUGMENTS:
        raise UnknownNameError("augment", augment, AUGMENTS, "Or pass a function of one image, or None.")
    steps = [{"flip": flip, "shift": shift}[name] for name in augment.split("+")]
    return lambda images: _chain(steps, images)


def flip(images: torch.Tensor) -> torch.Tensor:
    """Mirror every second image, left to right."""
    import torch

    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def shift(images: torch.Tensor) -> torch.Tensor:
    """Move each image by up to an eighth of its side; what comes in is its own mirror image."""
    import torch

    side = images.shape[-1]
    reach = max(1, side // _SHARE)
    padded = torch.nn.functional.pad(images.float(), (reach,) * 4, mode="reflect").to(images.dtype)
    corners = torch.randint(0, 2 * reach + 1, (len(images), 2)).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for image, (y, x) in zip(padded, corners, strict=True)])


def _chain(steps: list[Callable], images: torch.Tensor) -> torch.Tensor:
    for step in steps:
        images = step(images)
    return images


def _apply(augment: Callable, images: torch.Tensor) -> torch.Tensor:
    import torch

    changed = [augment(image) for image in images]
    for image in changed:
        if not isinstance(image, torch.Tensor) or image.dtype != torch.uint8 or image.shape != images.shape[1:]:
            got = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, torch.Tensor) else type(image).__name__
            raise ParameterError(
                f"Got augment={augment!r}, which returned {got}. Expected what it gets: a uint8 tensor of shape "
                f"{tuple(images.shape[1:])}."
            )
    return torch.stack(changed)
