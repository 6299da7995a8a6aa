"""What a killed training needs to go on, in a file that is its own: of this data and these parameters."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
        If the folder cannot be made.
    """

    def __init__(self, folder: str | Path | None, key: str):
        self._path: Path | None = None
        if folder is None:
            return
        folder = Path(folder).expanduser().absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(
                f"Got checkpoint={str(folder)!r}, which cannot be made: {error.strerror}. Expected a folder."
            ) from error
        self._path = folder / f"{key[:_DIGITS]}.pt"

    def restore(self, net: TuningNet) -> dict[str, Any] | None:
        """Take up where a training was left; returns its best weights."""
        import torch
        from skorch.history import History

        if self._path is None or not self._path.exists():
            return None
        try:
            state = torch.load(self._path, map_location=net.device, weights_only=True)
            module, optimizer, best, history = (state[name] for name in _PARTS)
        except Exception as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            warnings.warn(f"{self._path} is damaged ({reason}): training starts anew.", FallbackWarning, stacklevel=2)
            return None
        net.module_.load_state_dict(module)
        net.optimizer_.load_state_dict(optimizer)
        net.history = History(history)
        logger.info("%s: training goes on after epoch %d", self._path, len(history) - 1)
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
        torch.save(dict(zip(_PARTS, state, strict=True)), new)
        new.replace(self._path)


def make_key(columns: list[ImageColumn], arrays: list[np.ndarray], plain: dict[str, Any]) -> str:
    """Name a training by the content of its images, its numbers and its parameters.

    Parameters
    ----------
    columns : list of ImageColumn
    arrays : list of ndarray
    plain : dict
        What has a repr that tells it.

    Returns
    -------
    str
        SHA-256 in hex.
    """
    digest = hashlib.sha256(json.dumps({name: repr(value) for name, value in plain.items()}, sort_keys=True).encode())
    with ThreadPoolExecutor() as pool:
        for column in columns:
            there = [source for source in column.sources if not is_missing(source)]
            digest.update(digest_many(there, memo=DigestMemo(), pool=pool)[0].tobytes())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
