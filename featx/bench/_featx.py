"""featx as a candidate: the whole, and its two parts alone."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

import numpy as np

from featx._image_encoder import ImageEncoder, extraction_of
from featx.bench._job import Job, images_per_second
from featx.encoders import build_network
from featx.images import DigestMemo, PixelPath, absolute

_WARM_UP = 32  # images
_HELD = 512  # decoded images that are kept for the encoder alone
_COMPARED = 16  # images that eager PyTorch embeds too


class FeatxCandidate:
    """What featx does with a job, each method one measurement; loaded and warmed up.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job: Job):
        self._job = job
        self._paths = list(job.paths)
        encoder = self._encoder(cache=False)
        self._transform = encoder.transform
        extraction = extraction_of(encoder)
        self._specs = extraction.specs
        self._runtime = extraction.runtime()  # the very one that transform uses
        self._batch_size = extraction.options.batch_size or self._runtime.batch_size
        self._pixels = self._decode(self._paths[:_HELD])
        self._transform(self._paths[:_WARM_UP])

    def about(self) -> dict[str, Any]:
        """What ran, in words."""
        return {
            "runtime": self._runtime.name,
            "device": str(self._runtime.device),
            "precision": self._specs[0].precision,
            "dim": sum(self._runtime.dims),
            "batch_size": self._batch_size,
        }

    def decode(self) -> float:
        """Images/s of reading, decoding and preprocessing alone."""
        return images_per_second(lambda: self._decode(self._paths), len(self._paths))

    def encode(self) -> float:
        """Images/s of the network alone, on pixels in memory, in as many threads as the whole has."""
        n_batches = max(-(-len(self._paths) // self._batch_size), self._job.n_threads)
        pixels = np.stack(list(islice(cycle(self._pixels), min(_HELD, n_batches * self._batch_size))))
        batches = [pixels[i : i + self._batch_size] for i in range(0, len(pixels), self._batch_size)]
        batches = list(islice(cycle(batches), n_batches))
        with ThreadPoolExecutor(self._job.n_threads) as pool:
            return images_per_second(lambda: list(pool.map(self._runtime.run, batches)), sum(map(len, batches)))

    def whole(self) -> float:
        """Images/s of `transform` when nothing is known of the images."""
        self._forget()
        return images_per_second(lambda: self._transform(self._paths), len(self._paths))

    def warm(self) -> float:
        """Images/s of `transform` when every image is in the store."""
        with tempfile.TemporaryDirectory() as store:
            transform = self._encoder(cache=store).transform
            transform(self._paths)
            rate = images_per_second(lambda: transform(self._paths), len(self._paths))
        self._forget()
        return rate

    def difference(self) -> float:
        """The largest relative L2 distance of an embedding to eager PyTorch's, on the CPU, of the same pixels."""
        import torch

        pixels = np.stack(self._pixels[:_COMPARED])
        with torch.inference_mode():
            reference = torch.cat(build_network(self._specs)(torch.from_numpy(pixels)), dim=1).numpy()
        embeddings = self._transform(self._paths[:_COMPARED])
        distances = np.linalg.norm(embeddings - reference, axis=1) / np.linalg.norm(reference, axis=1)
        return float(distances.max())

    def _encoder(self, cache: str | bool) -> ImageEncoder:
        job = self._job
        return ImageEncoder(
            job.encoder, weights=job.weights, n_jobs=job.n_threads, cache=cache, verbose=0, **job.options
        )

    def _decode(self, paths: list[str]) -> list[np.ndarray]:
        path = PixelPath(self._specs[0].preprocess, self._specs[0].decode)
        with ThreadPoolExecutor(self._job.n_threads) as pool:
            return [pixels for _, pixels in pool.map(path, paths)]

    def _forget(self) -> None:
        """Let the next call hash the files again, as the first one had to."""
        DigestMemo().forget([absolute(path) for path in self._paths])
