"""All images as pixels, decoded once: an epoch reads them from a temporary file."""

from __future__ import annotations

import math
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from featx.encoders import EncoderSpec
from featx.exceptions import TrainingError
from featx.extraction import Failures, Options
from featx.images import DecodeError, ImageColumn, PixelPath, is_missing


def read_pixels(column: ImageColumn, spec: EncoderSpec, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Decode images.

    Parameters
    ----------
    column : ImageColumn
        n images.
    spec : EncoderSpec
        Its preprocessing and its way of decoding.
    options : Options

    Returns
    -------
    pixels : ndarray of shape (n, size, size, 3), uint8
        In a temporary file that goes with it; black where an image is unusable.
    usable : ndarray of shape (n,), bool

    Raises
    ------
    ImageErrors
        If images are unusable, and the options say "raise".
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
            failures.add_missing(i)
            return
        try:
            pixels[i] = path(source)[1]
        except DecodeError as error:
            failures.add_error(i, str(error))

    with ThreadPoolExecutor(options.n_threads) as pool:
        list(pool.map(read, range(len(column))))
    failures.settle(stored=False)
    usable = np.ones(len(column), bool)
    usable[failures.positions()] = False
    return pixels, usable


def _temporary(shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array in a temporary file that has its room on the disk: writing where there is none kills a process."""
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
