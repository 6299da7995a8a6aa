"""The measurement: every candidate in its own process, run after run in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from featx._image_encoder import ImageEncoder
from featx._machine import count_threads
from featx.bench._featx import FeatxCandidate
from featx.bench._job import Job
from featx.bench._photos import Photos, find_photos, write_photos
from featx.bench._result import BenchResult, PeerResult
from featx.bench._worker import Worker
from featx.bench.peers import PEERS, Peer, PeerCandidate
from featx.encoders import list_encoders
from featx.exceptions import ParameterError

PARTS = ("decode", "encode", "whole", "warm")


def run_bench(
    sources: Sequence[str | Path] | None = None,
    *,
    encoder: str = "efficientnet_lite0",
    weights: str | None = None,
    n_images: int = 128,
    runs: int = 3,
    peers: bool = True,
    n_threads: int | None = None,
    verbose: int = 1,
    **options: Any,
) -> BenchResult:
    """Measure featx, its parts and other libraries on the same images and network.

    Parameters
    ----------
    sources : sequence of str or Path, default=None
        Folders and image files; None writes photos for the purpose.
    encoder : str, default="efficientnet_lite0"
        A name of `list_encoders`, or ``"timm:NAME"``.
    weights : str, default=None
        As for `ImageEncoder`; None is the default ones where they are on this
        machine, else random ones, which take the same time.
    n_images : int, default=128
        At most so many, spread over the sources.
    runs : int, default=3
        Medians are taken over them; candidates take turns within each.
    peers : bool, default=True
        Whether other libraries are measured.
    n_threads : int, default=None
        Threads that decode; None is all processors.
    verbose : int, default=1
        1 shows a progress bar on a terminal.
    **options : object
        Further parameters of `ImageEncoder`: runtime, device, precision, batch_size.

    Returns
    -------
    BenchResult

    Raises
    ------
    FeatxError
        If a parameter is not accepted, no image can be read, or featx itself fails.
    """
    for name, value in (("n_images", n_images), ("runs", runs)):
        if not isinstance(value, int) or value < 1:
            raise ParameterError(f"Got {name}={value!r}. Expected a positive integer.")
    weights = weights or _weights_at_hand(encoder)
    ImageEncoder(encoder, weights=weights, n_jobs=n_threads, **options).fit([])  # checks the parameters
    chosen = PEERS if peers else ()
    steps = (1 + len(chosen)) + runs * (len(PARTS) + len(chosen))
    with _photos(sources, n_images) as photos, _Progress(total=steps, leave=False, disable=not verbose or None) as bar:
        job = Job(photos.paths, encoder, weights, count_threads(n_threads), options, torch_threads=n_threads)
        measured = _measure(job, chosen, runs, bar)
    named = {"encoder": encoder, "weights": weights, "n_threads": job.n_threads}
    return BenchResult(**named, **measured, n_images=len(photos.paths), left_out=photos.left_out)


def _measure(job: Job, peers: Sequence[Peer], runs: int, bar: _Progress) -> dict[str, Any]:
    """Start every candidate, then let them take turns."""
    rates: dict[str, tuple[float, ...]] = dict.fromkeys(PARTS, ())
    contenders: list[_Contender] = []
    with ExitStack() as stack:
        with bar.step("loading featx"):
            featx = stack.enter_context(Worker(FeatxCandidate, job))
            about, difference = featx.call("about"), featx.call("difference")
        job = replace(job, device="cuda:0" if about["device"].startswith("cuda") else "cpu")
        for peer in peers:
            with bar.step(f"loading {peer.name}"):
                contenders.append(_Contender(peer, job, stack))
        for _ in range(runs):
            for part in PARTS:
                with bar.step(f"featx, {part}"):
                    rates[part] += (featx.call(part),)
            for contender in contenders:
                with bar.step(contender.result.name):
                    contender.measure()
    results = tuple(contender.result for contender in contenders)
    return {**about, "difference": difference, "rates": rates, "peers": results}


class _Progress(tqdm):
    """A bar that says what is going on."""

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        self.set_description(description)
        yield
        self.update()


class _Contender:
    """A peer in its process, or the reason why it is in none."""

    def __init__(self, peer: Peer, job: Job, stack: ExitStack):
        self.result = PeerResult(peer.name, peer.version(), peer.network(job.encoder) or "", reason=peer.missing(job))
        self._worker: Worker | None = None
        if not self.result.reason:
            with self._noting_failure():
                self._worker = stack.enter_context(Worker(PeerCandidate, peer, job, quiet=True))

    def measure(self) -> None:
        """Add a run, unless the peer has failed."""
        if not self.result.reason:
            with self._noting_failure():
                self.result = replace(self.result, rates=(*self.result.rates, self._worker.call("whole")))

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever another library raises is its result
            text = str(error).strip() or type(error).__name__
            self.result = replace(self.result, rates=(), reason=f"failed: {text.splitlines()[0]}")


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
