"""What a killed training needs to go on, in a file that is its own: of this data and these parameters."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.exceptions import FallbackWarning, ParameterError
from featx.images import DigestMemo, ImageColumn, digest_many, is_missing

if TYPE_CHECKING:
    from featx.finetune._net import TuningNet

logger = logging.getLogger("featx")
_DIGITS = 32
_PARTS = ("module", "optimizer", "best", "history")


class Checkpoint:
    """A file for one training; without a folder, nothing is kept.

    Parameters
    ----------
    folder : str, Path or None
        Made if it is not there.
    key : str
        Names the data and the parameters: another training has another file, so that the fits of a
        cross-validation share a folder.

    Raises
    ------
    ParameterError
        If nothing can be written into the folder.
    """

    def __init__(self, folder: str | Path | None, key: str):
        self._path: Path | None = None
        self._told = False
        if folder is None:
            return
        folder = Path(folder).expanduser().absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ParameterError(
                f"Got checkpoint={str(folder)!r}, where nothing can be written: {error.strerror}. Expected a folder."
            ) from error
        self._path = folder / f"{key[:_DIGITS]}.pt"

    def restore(self, net: TuningNet) -> dict[str, Any] | None:
        """Take up where a training was left; returns its best weights."""
        if self._path is None:
            return None
        for left in self._path.parent.glob(f"{self._path.stem}.*[!t]"):  # by a process that was killed as it wrote
            left.unlink(missing_ok=True)
        if not self._path.exists():
            return None
        before = copy.deepcopy(net.module_.state_dict())
        try:
            best = self._load(net)
        except Exception as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            warnings.warn(f"{self._path} is damaged ({reason}): training starts anew.", FallbackWarning, stacklevel=2)
            net.module_.load_state_dict(before)
            return None
        logger.info("%s: training goes on after epoch %d", self._path, len(net.history) - 1)
        return best

    def save(self, net: TuningNet, best: dict[str, Any]) -> None:
        """Write the state after an epoch; the file is whole at any moment."""
        import torch

        if self._path is None:
            return
        # Plain numbers: nothing else is read without unpickling code.
        history = [{key: float(value) for key, value in epoch.items() if key != "batches"} for epoch in net.history]
        state = (net.module_.state_dict(), net.optimizer_.state_dict(), best, history)
        new = self._path.with_suffix(f".{os.getpid()}")
        try:
            with new.open("wb") as file:  # torch's own files tell of a full disk as of a bug
                torch.save(dict(zip(_PARTS, state, strict=True)), file)
            new.replace(self._path)
        except (OSError, RuntimeError) as error:
            new.unlink(missing_ok=True)
            self._tell(error)

    def _load(self, net: TuningNet) -> dict[str, Any]:
        import torch
        from skorch.history import History

        state = torch.load(self._path, map_location=net.device, weights_only=True)
        module, optimizer, best, history = (state[name] for name in _PARTS)
        history = History([dict(epoch) for epoch in history])
        for weights in (best, module):
            net.module_.load_state_dict(weights)
        net.optimizer_.load_state_dict(optimizer)
        net.history = history
        return best

    def _tell(self, error: Exception) -> None:
        if not self._told:
            reason = (str(error) or repr(error)).splitlines()[0]
            warnings.warn(
                f"{self._path} was not written ({reason}): training goes on, and starts anew if it is killed.",
                FallbackWarning,
                stacklevel=3,
            )
        self._told = True


def make_key(columns: list[ImageColumn], arrays: list[np.ndarray], plain: dict[str, Any], max_pixels: int) -> str:
    """Name a training by the content of its images, its numbers and its parameters.

    Parameters
    ----------
    columns : list of ImageColumn
    arrays : list of ndarray
    plain : dict
        What has a repr that tells it.
    max_pixels : int
        Larger images have no content.

    Returns
    -------
    str
        SHA-256 in hex.
    """
    plain = {name: repr(value) for name, value in {**plain, "max_pixels": max_pixels}.items()}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    with ThreadPoolExecutor() as pool:
        for column in columns:
            missing = np.array([is_missing(source) for source in column.sources], bool)
            there = [source for source, gone in zip(column.sources, missing, strict=True) if not gone]
            digests = digest_many(there, memo=DigestMemo(), pool=pool, max_pixels=max_pixels)[0]
            digest.update(missing.tobytes() + digests.tobytes())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
