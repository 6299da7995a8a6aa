"""How many images a second: of the pixel path alone, of the network alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._machine import count_processors
from featx.encoders import EncoderSpec
from featx.images import DecodeError, PixelPath, is_missing, open_column

if TYPE_CHECKING:
    from featx.runtimes import Runtime

_SECONDS = 0.5  # a run at least


def decode_some(spec: EncoderSpec, images: Any, n: int = 300) -> list[np.ndarray]:
    """Decode the readable ones among up to n images, spread over those given.

    Parameters
    ----------
    spec : EncoderSpec
        Its preprocessing and its way of decoding.
    images : container of images
    n : int, default=300

    Returns
    -------
    list of ndarray of shape (size, size, 3), uint8
    """
    pixels_of, sources = _reader(spec, images, n)
    with ThreadPoolExecutor(count_processors()) as pool:
        return [image for image in pool.map(pixels_of, sources) if image is not None]


def decoding_rate(spec: EncoderSpec, images: Any, n_threads: int, n: int = 64) -> float:
    """Time reading, decoding and preprocessing alone, in as many threads as an extraction has.

    Parameters
    ----------
    spec, images, n
        As for `decode_some`.
    n_threads : int

    Returns
    -------
    float
        Images a second, over half a second at least.
    """
    pixels_of, sources = _reader(spec, images, n)
    done, elapsed, started = 0, 0.0, time.perf_counter()
    with ThreadPoolExecutor(n_threads) as pool:
        while elapsed < _SECONDS:
            done += sum(image is not None for image in pool.map(pixels_of, sources))
            elapsed = time.perf_counter() - started
    return done / elapsed


def network_rate(runtime: Runtime, pixels: np.ndarray, n_threads: int) -> float:
    """Time the network alone, pixels in memory, in as many threads as an extraction has.

    Parameters
    ----------
    runtime : Runtime
    pixels : ndarray of shape (n, size, size, 3), uint8
    n_threads : int

    Returns
    -------
    float
        Images a second, over half a second at least.
    """
    size = runtime.batch_size
    batches = [np.take(pixels, range(i, i + size), axis=0, mode="wrap") for i in range(0, 2 * n_threads * size, size)]
    n, elapsed, started = 0, 0.0, time.perf_counter()
    with ThreadPoolExecutor(n_threads) as pool:
        while elapsed < _SECONDS:
            n += sum(map(len, pool.map(runtime.run, batches)))
            elapsed = time.perf_counter() - started
    return n / elapsed


def _reader(spec: EncoderSpec, images: Any, n: int) -> tuple[Callable[[Any], np.ndarray | None], list[Any]]:
    """Make a function that reads one source, and choose up to n sources."""
    column = open_column(images)
    chosen = np.unique(np.linspace(0, len(column) - 1, n).round().astype(int)) if len(column) else []
    pixel_path = PixelPath(spec.preprocess, spec.decode)

    def pixels_of(source: Any) -> np.ndarray | None:
        try:
            return pixel_path(source)[1]
        except DecodeError:
            return None

    return pixels_of, [column.sources[i] for i in chosen if not is_missing(column.sources[i])]
