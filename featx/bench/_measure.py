"""Files -> images per second of decoding, of the network, and of both together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from featx._image_encoder import ImageEncoder, extraction_of
from featx._machine import count_threads
from featx._validate import check_integer
from featx.bench._photos import Photos, find_photos, write_photos
from featx.bench._result import PARTS, BenchResult
from featx.encoders import build_network, list_encoders
from featx.images import DigestMemo, PixelPath, absolute

_WARM_UP = 32  # images
_HELD = 512  # decoded images that are kept for the network alone
_COMPARED = 16  # images that eager PyTorch embeds too


def run_bench(
    sources: Sequence[str | Path] | None = None,
    *,
    encoder: str = "efficientnet_lite0",
    weights: str | None = None,
    n_images: int = 128,
    runs: int = 3,
    n_jobs: int | None = -1,
    verbose: int = 1,
    **options: Any,
) -> BenchResult:
    """Measure how fast featx embeds images, and how fast its parts are alone.

    Parameters
    ----------
    sources : sequence of str or Path, default=None
        Folders and image files. If None, photos are written to a temporary folder.
    encoder : str, default="efficientnet_lite0"
        A name listed by `list_encoders`, or ``"timm:NAME"``.
    weights : str, default=None
        As for `ImageEncoder`. None uses the default weights if they are on this
        machine, else random ones, which take the same time.
    n_images : int, default=128
        The largest number of images, spread evenly over the sources.
    runs : int, default=3
        How often everything is measured; results are medians over the runs.
    n_jobs : int, default=-1
        Number of threads that decode; -1 uses all processors, None one.
    verbose : int, default=1
        If 1, a progress bar is shown on a terminal.
    **options : object
        Further parameters of `ImageEncoder`: runtime, device, precision, batch_size.

    Returns
    -------
    BenchResult
        The rates of every run, with what ran where.

    Raises
    ------
    FeatxError
        If a parameter is not accepted, or no image can be read or embedded.
    """
    n_images, runs = check_integer("n_images", n_images), check_integer("runs", runs)
    weights = weights or _weights_at_hand(encoder)
    options |= {"encoder": encoder, "weights": weights, "n_threads": count_threads(n_jobs)}
    _make_encoder(**options).fit([])  # checks the parameters
    rates: dict[str, tuple[float, ...]] = dict.fromkeys(PARTS, ())
    steps = 1 + runs * len(PARTS)
    with _photos(sources, n_images) as photos, tqdm(total=steps, leave=False, disable=not verbose or None) as bar:
        bar.set_description("loading the network")
        bench = EncoderBench(photos.paths, **options)
        about, difference = bench.about(), bench.difference()
        bar.update()
        for _ in range(runs):
            for part in PARTS:
                bar.set_description(part)
                rates[part] += (getattr(bench, part)(),)
                bar.update()
    return BenchResult(**about, rates=rates, difference=difference, left_out=photos.left_out)


class EncoderBench:
    """An encoder, loaded and warmed up; each method is one measurement.

    Parameters
    ----------
    paths : sequence of str
        The image files to embed.
    encoder, weights : str
        As for `ImageEncoder`.
    n_threads : int
        Number of threads that decode.
    **options : object
        Further parameters of `ImageEncoder`.
    """

    def __init__(self, paths: Sequence[str], encoder: str, weights: str, n_threads: int, **options: Any):
        self._paths = list(paths)
        self._n_threads = n_threads
        self._parameters: dict[str, Any] = options | {"encoder": encoder, "weights": weights, "n_threads": n_threads}
        image_encoder = _make_encoder(**self._parameters)
        self._transform = image_encoder.transform
        extraction = extraction_of(image_encoder)
        self._specs = extraction.specs
        self._runtime = extraction.runtime()  # the very one that transform uses
        self._batch_size = extraction.options.batch_size or self._runtime.batch_size
        self._pixels = self._decode(self._paths[:_HELD])
        self._transform(self._paths[:_WARM_UP])

    def about(self) -> dict[str, Any]:
        """Describe what runs, by the names of `BenchResult`."""
        return {
            "encoder": self._parameters["encoder"],
            "weights": self._parameters["weights"],
            "precision": self._specs[0].precision,
            "runtime": self._runtime.name,
            "device": str(self._runtime.device),
            "dim": sum(self._runtime.dims),
            "batch_size": self._batch_size,
            "n_threads": self._n_threads,
            "n_images": len(self._paths),
        }

    def decode(self) -> float:
        """Measure reading, decoding and preprocessing alone, in images/s."""
        return images_per_second(lambda: self._decode(self._paths), len(self._paths))

    def encode(self) -> float:
        """Measure the network alone, on pixels in memory, with as many threads as `whole` has, in images/s."""
        n_batches = max(-(-len(self._paths) // self._batch_size), self._n_threads)
        pixels = np.stack(list(islice(cycle(self._pixels), min(_HELD, n_batches * self._batch_size))))
        batches = [pixels[i : i + self._batch_size] for i in range(0, len(pixels), self._batch_size)]
        batches = list(islice(cycle(batches), n_batches))
        with ThreadPoolExecutor(self._n_threads) as pool:
            return images_per_second(lambda: list(pool.map(self._runtime.run, batches)), sum(map(len, batches)))

    def whole(self) -> float:
        """Measure `transform` when nothing is known about the images, in images/s."""
        self._forget()
        return images_per_second(lambda: self._transform(self._paths), len(self._paths))

    def warm(self) -> float:
        """Measure `transform` when every image is in the store, in images/s."""
        with tempfile.TemporaryDirectory() as store:
            transform = _make_encoder(**self._parameters, cache=store).transform
            transform(self._paths)
            rate = images_per_second(lambda: transform(self._paths), len(self._paths))
        self._forget()
        return rate

    def difference(self) -> float:
        """Compare embeddings with eager PyTorch's on the CPU: the largest relative L2 distance."""
        import torch

        pixels = np.stack(self._pixels[:_COMPARED])
        with torch.inference_mode():
            reference = torch.cat(build_network(self._specs)(torch.from_numpy(pixels)), dim=1).numpy()
        embeddings = self._transform(self._paths[:_COMPARED])
        distances = np.linalg.norm(embeddings - reference, axis=1) / np.linalg.norm(reference, axis=1)
        return float(distances.max())

    def _decode(self, paths: list[str]) -> list[np.ndarray]:
        path = PixelPath(self._specs[0].preprocess, self._specs[0].decode)
        with ThreadPoolExecutor(self._n_threads) as pool:
            return [pixels for _, pixels in pool.map(path, paths)]

    def _forget(self) -> None:
        """Make the next call hash the files again, as the first one had to."""
        DigestMemo().forget([absolute(path) for path in self._paths])


def images_per_second(function: Callable[[], Any], n: int) -> float:
    """Time one call that handles n images."""
    started = time.perf_counter()
    function()
    return n / (time.perf_counter() - started)


def _make_encoder(
    encoder: str, weights: str, n_threads: int, cache: str | bool = False, **options: Any
) -> ImageEncoder:
    return ImageEncoder(encoder, weights=weights, n_jobs=n_threads, cache=cache, verbose=0, **options)


@contextmanager
def _photos(sources: Sequence[str | Path] | None, n: int) -> Iterator[Photos]:
    if sources:
        yield find_photos(sources, n)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Photos(tuple(write_photos(folder, n)))


def _weights_at_hand(encoder: str) -> str:
    table = list_encoders()
    local = table["local"][(table["name"] == encoder) & table["default"]]
    return "default" if local.any() else "random"
