"""What a killed training needs to go on, in a file for this data and these settings alone."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from featx._atomic import TEMPORARY, atomic_file
from featx._warnings import warn
from featx.exceptions import FallbackWarning, ParameterError
from featx.images import DigestMemo, ImageColumn, digest_many, is_missing

logger = logging.getLogger("featx")
_DIGITS = 32
# An older unfinished file was left by a process that was killed as it wrote.
_STALE_SECONDS = 24 * 3600


class Checkpoint:
    """The file of one training.

    Parameters
    ----------
    path : Path or None, default=None
        None keeps nothing.
    """

    def __init__(self, path: Path | None = None):
        self._path = path
        self._warned = False

    def restore(self, resume: Callable[[dict[str, Any]], int], device: str) -> bool:
        """Continue a training where it was interrupted.

        Parameters
        ----------
        resume : callable
            Continues from a saved state, and returns the number of epochs that are done; it raises, and changes
            nothing, if the state does not fit.
        device : str
            Where the state's tensors go.

        Returns
        -------
        bool
            Whether there was a state to continue from; a damaged file is reported by a warning.
        """
        import torch

        if self._path is None:
            return False
        _delete_stale(self._path.parent)
        if not self._path.exists():
            return False
        try:
            n_epochs = resume(torch.load(self._path, map_location=device, weights_only=True))
        except Exception as error:
            warn(f"{self._path} is damaged ({_reason(error)}): training starts anew.", FallbackWarning)
            return False
        logger.info("%s: training goes on after epoch %d", self._path, n_epochs)
        return True

    def save(self, state: dict[str, Any]) -> None:
        """Write the state after an epoch; the file is whole at any moment.

        Parameters
        ----------
        state : dict
            Tensors and plain numbers: nothing else is read without unpickling code.
        """
        import torch

        if self._path is None:
            return
        try:
            # torch reports a full disk as a bug if it opens the file itself
            with atomic_file(self._path) as temporary, temporary.open("wb") as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            warn(
                f"{self._path} was not written ({_reason(error)}): training goes on, and starts anew if it is killed.",
                FallbackWarning,
            )
        self._warned = True


def open_checkpoint(folder: str | Path, key: str) -> Checkpoint:
    """Make the folder, and name the file of one training.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist.
    key : str
        Names the data and the settings: another training has another file, so that the fits of a cross-validation
        share a folder.

    Returns
    -------
    Checkpoint
        With the file's path; the file may not exist yet.

    Raises
    ------
    ParameterError
        If nothing can be written into the folder.
    """
    folder = Path(folder).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ParameterError(
            f"Got checkpoint_dir={str(folder)!r}, where nothing can be written: {error.strerror}. Expected a folder."
        ) from error
    return Checkpoint(folder / f"{key[:_DIGITS]}.pt")


def training_key(
    columns: list[ImageColumn], arrays: list[np.ndarray], settings: dict[str, Any], max_pixels: int
) -> str:
    """Name a training by the content of its images, its numbers and its settings.

    Parameters
    ----------
    columns : list of ImageColumn
        The images.
    arrays : list of ndarray
        Targets and weights; of objects, their text.
    settings : dict
        Values whose repr describes them.
    max_pixels : int
        Larger images have no content.

    Returns
    -------
    str
        SHA-256 in hex.
    """
    described = {name: repr(value) for name, value in {**settings, "max_pixels": max_pixels}.items()}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    with ThreadPoolExecutor() as pool:
        for column in columns:
            missing = np.array([is_missing(source) for source in column.sources], bool)
            there = [source for source, gone in zip(column.sources, missing, strict=True) if not gone]
            digests = digest_many(there, memo=DigestMemo(), pool=pool, max_pixels=max_pixels)[0]
            digest.update(missing.tobytes() + digests.tobytes())
    for array in arrays:
        array = array.astype(str) if array.dtype.hasobject else array
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _delete_stale(folder: Path) -> None:
    for unfinished in folder.glob(f"{TEMPORARY}*.pt"):
        try:
            if time.time() - unfinished.stat().st_mtime > _STALE_SECONDS:
                unfinished.unlink()
        except FileNotFoundError:
            pass  # another process has deleted or renamed it


def _reason(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0]
