"""Files -> images per second of decoding, of the network, and of both together; what follows from it."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from featx._image_encoder import ImageEncoder, extraction_of
from featx._machine import count_threads
from featx._validate import check_integer
from featx._version import __version__
from featx.encoders import build_network, list_encoders
from featx.exceptions import InputError
from featx.images import DigestMemo, PixelPath, absolute, check_images, find_images

PARTS = ("decode", "encode", "whole", "warm")
_WIDTH = 28
_SHOWN = 5
_STEADY = 1.5  # times that runs may differ by


@dataclass(frozen=True)
class BenchResult:
    """The speed of one encoder on some images; rates are images/s.

    Attributes
    ----------
    encoder, weights, precision, runtime, device : str
        What ran, and where.
    dim, batch_size, n_threads, n_images : int
        The embedding's dimension, images in a batch, threads, and images measured.
    rates : dict of str to tuple of float
        The rates of every run: ``decode`` and ``encode`` alone, the ``whole``, and
        ``warm``, when every embedding is cached.
    left_out : tuple of (str, str)
        Path and reason of each file that was not used.
    difference : float
        The largest relative L2 distance between an embedding and eager PyTorch's.
    """

    encoder: str
    weights: str
    precision: str
    runtime: str
    device: str
    dim: int
    batch_size: int
    n_threads: int
    n_images: int
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    difference: float = float("nan")

    def rate(self, part: str) -> float:
        """Return the median images/s of a part."""
        return statistics.median(self.rates[part])

    @property
    def on_cpu(self) -> bool:
        """Whether decoding and the network share the same cores."""
        return not self.device.lower().startswith("cuda")

    @property
    def limit(self) -> float:
        """Images/s that no order of work can exceed: on a CPU the parts add up, on CUDA the slower one decides."""
        decode, encode = self.rate("decode"), self.rate("encode")
        return 1 / (1 / decode + 1 / encode) if self.on_cpu else min(decode, encode)

    @property
    def share(self) -> float:
        """The rate of the whole as a share of the limit."""
        return self.rate("whole") / self.limit

    @property
    def spread(self) -> float:
        """The fastest run of a part divided by its slowest, at worst: near 1 on an idle machine."""
        runs = [self.rates[part] for part in ("decode", "encode", "whole")]
        return max(max(rates) / min(rates) for rates in runs)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as data for JSON, medians included."""
        medians = {part: self.rate(part) for part in self.rates}
        derived = {"medians": medians, "limit": self.limit, "share": self.share, "spread": self.spread}
        return {"featx": __version__} | asdict(self) | derived


def format_table(result: BenchResult) -> str:
    """Format a result for a terminal."""
    lines = [*_describe(result), "", *_parts(result)]
    if result.spread > _STEADY:
        times = f"{result.spread:.1f} times"
        lines += ["", f"Runs differ by up to {times}: the machine is busy. Measure again when it is not."]
    return "\n".join(lines)


def format_rate(label: str, rate: float, note: str = "") -> str:
    """Format one line of a table: a label, images/s, and a remark."""
    number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
    return f"{label:{_WIDTH}}{number:>8}{'   ' + note if note else ''}"


def _describe(result: BenchResult) -> list[str]:
    threads = f"{result.n_threads} thread{'s' * (result.n_threads > 1)}"
    weights = "" if result.weights == "default" else f", weights {result.weights}"
    runs = len(result.rates["whole"])
    lines = [
        f"{result.encoder}{weights}, {result.precision}: {result.runtime} on {result.device}, {threads}, "
        f"batches of {result.batch_size}",
        f"{result.n_images:,} image{'s' * (result.n_images > 1)}, "
        + (f"medians of {runs} runs in turns" if runs > 1 else "one run"),
    ]
    if result.left_out:
        lines.append(f"{len(result.left_out):,} file{'s' * (len(result.left_out) > 1)} left out:")
        lines += [f"  {path}: {reason}" for path, reason in result.left_out[:_SHOWN]]
        if len(result.left_out) > _SHOWN:
            lines.append(f"  ... and {len(result.left_out) - _SHOWN:,} more")
    return lines


def _parts(result: BenchResult) -> list[str]:
    sharing = "both share the cores: 1 / (1/decode + 1/encode)" if result.on_cpu else "the slower of the two"
    return [
        f"{'':{_WIDTH}}images/s",
        format_rate("decode alone", result.rate("decode")),
        format_rate("encode alone", result.rate("encode")),
        format_rate("limit", result.limit, sharing),
        format_rate("whole", result.rate("whole"), f"{result.share:.0%} of the limit"),
        format_rate("whole, all cached", result.rate("warm")),
        f"{'relative L2 to eager torch':{_WIDTH}}{result.difference:8.0e}",
    ]


@dataclass(frozen=True)
class Photos:
    """Image files that can be read, each content once.

    Attributes
    ----------
    paths : tuple of str
        The files.
    left_out : tuple of (str, str)
        Path and reason of each file that is not among them.
    """

    paths: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def find_photos(sources: Sequence[str | Path], limit: int) -> Photos:
    """Find readable images among files and in folders, nested ones included.

    Parameters
    ----------
    sources : sequence of str or Path
        Folders and image files.
    limit : int
        The largest number of files, spread evenly, that are considered.

    Returns
    -------
    Photos
        Unreadable files and copies are left out, so that every image costs the same work.

    Raises
    ------
    InputError
        If no image can be read, or a source does not exist.
    """
    files, _ = find_images(sources)
    n = min(limit, len(files))
    table = check_images([files[i * len(files) // n] for i in range(n)])
    copies = table["ok"] & table["digest"].duplicated()
    reasons = table["error"].mask(copies, "a copy of another image")
    used = table["ok"] & ~copies
    if not used.any():
        raise InputError(f"None of {n:,} images can be read. For example {files[0]}: {reasons.iloc[0]}.")
    left_out = zip(table["image"][~used], reasons[~used], strict=True)
    return Photos(tuple(table["image"][used]), tuple(left_out))


def write_photos(folder: str | Path, n: int) -> list[str]:
    """Write distinct JPEG files of 500 x 375 pixels and about 50 kB, from scikit-learn's two photos.

    Parameters
    ----------
    folder : str or Path
        An existing folder.
    n : int
        The number of files.

    Returns
    -------
    list of str
        Their paths.
    """
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng = np.random.default_rng(0)
    paths = [os.path.join(folder, f"{i:05}.jpg") for i in range(n)]
    for i, path in enumerate(paths):
        left, upper = rng.uniform(0, (100, 40), size=2)
        photos[i % 2].resize((500, 375), box=(left, upper, left + 540, upper + 387)).save(path, quality=85)
    return paths


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
