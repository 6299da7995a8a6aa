"""Folders of images that the commands' tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def number_folder(path: Path, crops: list[np.ndarray], n: int) -> None:
    """Images, each in a folder named by a whole number: its brightness in hundredths of a grey level."""
    for i, crop in enumerate(crops[:n]):
        folder = path / f"{100 * crop.mean():.0f}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(folder / f"{i}.png")
