"""What a training reads of its images, as rows: activations or pixels, which may change at random in each epoch."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx._precompute import embed_layers
from featx.encoders import FEATURE, EncoderSpec
from featx.exceptions import InputError, ParameterError, TrainingError, UnknownNameError
from featx.extraction import Failures, Options
from featx.images import DecodeError, ImageColumn, PixelPath, Preprocess, is_missing

if TYPE_CHECKING:
    import torch

AUGMENTS = ("flip", "shift", "flip+shift")
# "shift" moves an image by up to this part of its side.
_SHIFT_PART = 8


@dataclass(frozen=True)
class Inputs:
    """What was read of n images.

    Attributes
    ----------
    values : ndarray of shape (n, ...)
        float32 activations, or uint8 pixels (n, size, size, 3).
    embeddings : ndarray of shape (n, dim) or None
        The encoder's features, if they were asked for.
    usable : ndarray of int
        Positions of the images that can be used.
    """

    values: np.ndarray
    embeddings: np.ndarray | None
    usable: np.ndarray


def read_inputs(
    images: Any, encoder: ImageEncoder, node: str | None, shape: tuple[int, ...], *, embeddings: bool
) -> Inputs:
    """Read images once: each is decoded, and passes the frozen layers, a single time.

    Parameters
    ----------
    images : container of images
        n images.
    encoder : ImageEncoder
        Its store keeps embeddings and activations; its policies decide about unusable images.
    node : str or None
        The layer whose activations are read; None reads pixels.
    shape : tuple of int
        The shape of that layer's activations for one image.
    embeddings : bool
        Whether embeddings are wanted too.

    Returns
    -------
    Inputs
        With the positions of the usable images.

    Raises
    ------
    ImageReadError
        If images are unusable, and the encoder's policy is "raise".
    InputError
        If none can be used.
    """
    found: np.ndarray | None
    if node is None:
        column = column_of(encoder, images)
        extraction = extraction_of(encoder)
        values, good = read_pixels(column, extraction.spec, extraction.options)
        found = _embed(column, encoder, good) if embeddings else None
    else:
        layers = list(dict.fromkeys([FEATURE, node] if embeddings else [node]))
        rows = {layer: rows for (layer, _), rows in embed_layers(images, encoder, layers, "flatten").items()}
        values, found = rows[node].reshape(-1, *shape), rows.get(FEATURE)
        good = ~np.isnan(rows[node][:, 0])
    if not good.any():
        raise InputError(f"Got {len(good):,} images, of which none can be used. featx.check_images(X) says why.")
    return Inputs(values, found, np.flatnonzero(good))


def _embed(column: ImageColumn, encoder: ImageEncoder, good: np.ndarray) -> np.ndarray | None:
    """Embed the usable images only: the others have been reported already."""
    if not good.any():
        return None
    some = [source for source, usable in zip(column.sources, good, strict=True) if usable]
    found = np.asarray(encoder.transform(some))
    embeddings = np.full((len(good), found.shape[1]), np.nan, found.dtype)
    embeddings[good] = found
    return embeddings


def read_pixels(column: ImageColumn, spec: EncoderSpec, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Decode images, once for all epochs.

    Parameters
    ----------
    column : ImageColumn
        n images.
    spec : EncoderSpec
        Its preprocessing and its way of decoding are used.
    options : Options
        Policies and threads.

    Returns
    -------
    pixels : ndarray of shape (n, size, size, 3), uint8
        In a temporary file that is deleted with it; black where an image is unusable.
    usable : ndarray of shape (n,), bool
        Which images can be used.

    Raises
    ------
    ImageReadError
        If images are unusable, and the policy is "raise".
    TrainingError
        If the temporary folder is too full.
    """
    path = PixelPath(spec.preprocess, spec.decode, options.max_pixels)
    failures = Failures(column, options.on_error, options.on_missing)
    size = spec.preprocess.size
    pixels = _temporary((max(1, len(column)), size, size, 3))[: len(column)]

    def read(i: int) -> None:
        source = column.sources[i]
        if is_missing(source):
            failures.add_missing(i, source)
            return
        try:
            pixels[i] = path(source)[1]
        except DecodeError as error:
            failures.add_error(i, str(error))

    with ThreadPoolExecutor(options.n_threads) as pool:
        list(pool.map(read, range(len(column))))
    failures.settle(stored=False)
    usable: np.ndarray = np.ones(len(column), bool)
    usable[failures.positions()] = False
    return pixels, usable


def _temporary(shape: tuple[int, ...]) -> np.ndarray:
    """Make a uint8 array in a temporary file with reserved disk space: writing where there is none kills a process."""
    n_bytes = math.prod(shape)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        raise TrainingError(
            f"{tempfile.gettempdir()} has no room for the pixels of the training images, {n_bytes:,} bytes "
            f"({error.strerror}). Set the environment variable TMPDIR to a larger folder, or train on smaller images "
            "(preprocess=)."
        ) from error


@dataclass(frozen=True)
class Rows:
    """n images as a network gets them, a batch at a time: a map-style dataset for torch's DataLoader.

    Attributes
    ----------
    inputs : sequence of ndarray
        The images of each task: uint8 pixels, or float32 activations.
    targets : sequence of ndarray
        The targets of each task.
    tasks, positions : ndarray of shape (n,), int64
        A row is an image at a position of a task.
    weights : ndarray of shape (n,), float32
        The weights of the rows in the loss.
    augment : callable, default=None
        uint8 tensor (n, 3, size, size) -> the same, changed.
    """

    inputs: Sequence[np.ndarray]
    targets: Sequence[np.ndarray]
    tasks: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    augment: Callable | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return self.__getitems__([i])

    def __getitems__(self, some: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return a batch: the DataLoader asks for it whole, and has nothing to collate."""
        import torch

        inputs = torch.from_numpy(self._gather(self.inputs, some))
        if inputs.dtype == torch.uint8:
            inputs = inputs.permute(0, 3, 1, 2)
            inputs = inputs if self.augment is None else self.augment(inputs)
        y = {"target": self._gather(self.targets, some), "weight": self.weights[some], "task": self.tasks[some]}
        return inputs, {name: torch.from_numpy(values) for name, values in y.items()}

    def _gather(self, arrays: Sequence[np.ndarray], some: list[int]) -> np.ndarray:
        tasks, positions = self.tasks[some], self.positions[some]
        gathered = np.empty((len(some), *arrays[0].shape[1:]), arrays[0].dtype)
        for task, array in enumerate(arrays):
            gathered[tasks == task] = array[positions[tasks == task]]
        return gathered


def normalize(pixels: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    """Make pixels, uint8 (n, 3, size, size), what the network takes."""
    import torch

    mean, std = (
        255 * torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (preprocess.mean, preprocess.std)
    )
    return (pixels.float() - mean) / std


def make_augment(augment: str | Callable | None) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Look up how a batch of images is changed; torch's generator draws, so a seed decides.

    Parameters
    ----------
    augment : {"flip", "shift", "flip+shift"}, callable or None
        As for `FineTuneClassifier`; a callable takes one image.

    Returns
    -------
    callable or None
        uint8 (n, 3, size, size) -> the same.

    Raises
    ------
    UnknownNameError
        If the name is not known.

    Examples
    --------
    >>> import torch
    >>> from featx.finetune._data import make_augment
    >>> make_augment("flip+shift")(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape
    torch.Size([2, 3, 16, 16])
    """
    if augment is None:
        return None
    if callable(augment):
        return lambda images: _apply(augment, images)
    if augment not in AUGMENTS:
        raise UnknownNameError("augment", augment, AUGMENTS, "Or pass a function of one image, or None.")
    steps = [{"flip": _flip, "shift": _shift}[name] for name in augment.split("+")]
    return lambda images: _chain(steps, images)


def _flip(images: torch.Tensor) -> torch.Tensor:
    """Mirror every second image, left to right."""
    import torch

    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def _shift(images: torch.Tensor) -> torch.Tensor:
    """Move each image by up to an eighth of its side; what comes in is its mirror image."""
    import torch

    side = images.shape[-1]
    reach = max(1, side // _SHIFT_PART)
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
