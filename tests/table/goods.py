"""A table of goods: photos of plain brightness and a few other columns, made by code."""

from __future__ import annotations

import numpy as np
import pandas as pd


def photo(brightness: float) -> np.ndarray:
    """A picture that is brighter on the right, uint8 (24, 24, 3)."""
    ramp = np.linspace(0.5, 1.5, 24) * 160 * brightness
    return np.broadcast_to(ramp.clip(0, 255).astype(np.uint8)[None, :, None], (24, 24, 3)).copy()


def make_goods(n: int = 60, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Photo, weight (a number) and kind (a category); brightness, which only the photo shows."""
    draw = np.random.default_rng(seed)
    brightness = draw.permutation(np.linspace(0.1, 1, n))
    frame = pd.DataFrame(
        {
            "photo": pd.Series([photo(value) for value in brightness], dtype=object),
            "weight": draw.normal(size=n).round(3),
            "kind": draw.choice(["jar", "box", "bag"], n),
        }
    )
    return frame, brightness
