"""Which text models this process keeps loaded, and their use, one thread at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from featx._optional import import_optional
from featx.exceptions import WeightsError
from featx.runtimes import check_devices, choose
from featx.text._spec import TextSpec

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# torch uses all processors for one thread, and a tokenizer must not serve two.
_lock = threading.RLock()


def encode(spec: TextSpec, texts: Sequence[str], device: str = "auto", batch_size: int = 64) -> np.ndarray:
    """Embed texts in float32; a process keeps the two models last used.

    Parameters
    ----------
    spec : TextSpec
    texts : sequence of str
        At least one.
    device : str, default="auto"
        "auto" is CUDA where there is one, else the CPU.
    batch_size : int, default=64

    Returns
    -------
    ndarray of shape (n, dim), float32

    Raises
    ------
    DeviceError
        If this machine lacks the device.
    WeightsError
        If sentence-transformers cannot load the folder.
    MissingDependencyError
        Without the extra ``text``.
    """
    devices = choose("torch", device).devices
    check_devices(devices)
    with _lock:
        model = _load(spec, devices[0])
        return np.asarray(model.encode(list(texts), batch_size=batch_size, show_progress_bar=False), np.float32)


@lru_cache(maxsize=2)
def _load(spec: TextSpec, device: str) -> SentenceTransformer:
    library = import_optional("sentence_transformers", extra="text", purpose="TextEncoder")
    try:
        with _no_progress_bars():
            # Its folder is all that its fingerprint knows of: nothing is fetched, no code of its own is run.
            model = library.SentenceTransformer(
                str(spec.folder), device=device, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # whatever a library says of a file that it does not know
        raise WeightsError(
            f"sentence-transformers {library.__version__} cannot load {spec.folder}: {error or repr(error)}. Expected "
            "a folder that it has saved, without code of its own."
        ) from error
    return model.float()


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _reset_after_fork() -> None:
    """Start anew in a forked child, where the thread that holds the lock does not exist."""
    global _lock
    _lock = threading.RLock()
    _load.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
