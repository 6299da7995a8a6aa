"""Folders of images as commands read them: what is left out is told, splits can be named."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from featx.exceptions import ImageWarning

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = "photos/<label>/..., or photos/<split>/<label>/..."


def add_folder(command: argparse.ArgumentParser) -> None:
    """Declare a folder of labelled images."""
    command.add_argument("folder", metavar="FOLDER", help=LAYOUT)
    command.add_argument(
        "--split",
        type=_split,
        default="auto",
        metavar="NAME=SPLIT,...",
        help="what the folders are: Training=train,holdout=test; none: labels; default: auto, by their names",
    )


def read_labelled(folder: str, split: str | Mapping[str, str] | None = "auto") -> pd.DataFrame:
    """Read a folder; images without a label are left out, and counted."""
    from featx.images import read_image_folder

    table = read_image_folder(folder, split=split)
    unlabeled = table["label"].isna()
    if unlabeled.any():
        warnings.warn(f"Left out {unlabeled.sum():,} images without a label.", ImageWarning, stacklevel=2)
    return table[~unlabeled].reset_index(drop=True)


def find_files(paths: Sequence[str]) -> list[str]:
    """List the images of folders and files, and warn of those that are left out."""
    from featx.images import find_images, warn_left_out

    images, left_out = find_images(paths)
    warn_left_out(left_out)
    return images


def _split(text: str) -> str | Mapping[str, str] | None:
    if text in ("auto", "none"):
        return None if text == "none" else text
    pairs = dict(pair.partition("=")[::2] for pair in text.split(","))
    if not all(pairs) or not all(pairs.values()):
        raise argparse.ArgumentTypeError(f"got {text!r}; expected auto, none, or NAME=SPLIT,NAME=SPLIT")
    return pairs
