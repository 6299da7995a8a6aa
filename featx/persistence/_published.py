"""Published weights: a copy travels with the model, for a machine that cannot download them."""

from __future__ import annotations

import shutil
from pathlib import Path

from featx._atomic import atomic_file
from featx.encoders import Weights, hash_file
from featx.exceptions import WeightsError
from featx.persistence._record import WEIGHTS


def keep_published(weights: Weights, folder: Path) -> str:
    """Copy the file of published weights into a model's folder; fetched first, if it is not here.

    Returns
    -------
    str
        The copy, relative to the folder.

    Raises
    ------
    WeightsError
        If it cannot be fetched, or is not the file that was published.
    """
    if not weights.is_local():
        weights.load()
    source = weights.file()
    _check_published(source, source.name)
    (folder / WEIGHTS).mkdir(exist_ok=True)
    shutil.copyfile(source, folder / WEIGHTS / source.name)
    return f"{WEIGHTS}/{source.name}"


def place_published(weights: Weights, folder: Path) -> None:
    """Put the copy of published weights where their loader looks, unless they are there.

    Raises
    ------
    WeightsError
        If the copy is not the file that was published.
    MissingDependencyError
        If a package carries them that is not installed.
    """
    if weights.is_local():
        return
    if weights.file is None:
        weights.load()  # says which package is missing
        return
    target = weights.file()
    kept = folder / WEIGHTS / target.name
    if not kept.is_file():
        return
    _check_published(kept, target.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as temporary:
        shutil.copyfile(kept, temporary)


def _check_published(file: Path, name: str) -> None:
    """Hold a file to the digits of its SHA-256 that its published name ends in."""
    if not hash_file(file).startswith(Path(name).stem.rpartition("-")[2]):
        raise WeightsError(f"{file} is not the file that was published under that name: its SHA-256 is another.")
