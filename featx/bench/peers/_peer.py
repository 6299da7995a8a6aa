"""What another library must tell to be measured."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from featx.bench._job import Job, images_per_second

_WARM_UP = 32  # images


@dataclass(frozen=True)
class Peer:
    """Another library.

    Attributes
    ----------
    name : str
    package : str
        The distribution whose version is shown.
    modules : tuple of str
        That must be there.
    install : str
        What brings them, for pip.
    network : callable
        featx's name of a network -> this library's, None where it has none.
    build : callable
        (its network, job) -> function from paths to embeddings (n, dim).
    """

    name: str
    package: str
    modules: tuple[str, ...]
    install: str
    network: Callable[[str], str | None]
    build: Callable[[str, Job], Callable[[list[str]], np.ndarray]]

    def version(self) -> str:
        """The installed version, "" if there is none."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def missing(self, job: Job) -> str:
        """Why it cannot be measured, "" if it can."""
        if any(importlib.util.find_spec(module) is None for module in self.modules):
            return f"not installed: pip install '{self.install}'"
        return "" if self.network(job.encoder) else f"has no {job.encoder}"


class PeerCandidate:
    """A peer, loaded and warmed up, for a process of its own.

    Parameters
    ----------
    peer : Peer
    job : Job
    """

    def __init__(self, peer: Peer, job: Job):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read at import: whatever is missing here is not downloaded
        if sys.platform == "linux":  # a DataLoader's workers start quickest so; this process itself was spawned
            multiprocessing.set_start_method("fork", force=True)
        import torch

        if job.torch_threads:
            torch.set_num_threads(job.torch_threads)
        self._paths = list(job.paths)
        self._embed = peer.build(peer.network(job.encoder), job)
        self._embed(self._paths[:_WARM_UP])

    def whole(self) -> float:
        """Images/s from paths to embeddings."""
        return images_per_second(lambda: self._embed(self._paths), len(self._paths))
