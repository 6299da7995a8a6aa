"""Images of which some cannot be used: the others are worked on, these have their reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from featx.exceptions import ImageErrors, ImageWarning


def apply_to_readable(function: Callable[[list[str]], Any], images: Sequence[str]) -> tuple[Any, dict[int, str]]:
    """Call a function with the images that can be used.

    Parameters
    ----------
    function : callable
        Takes a list of paths; raises `ImageErrors`, or warns that rows became NaN, where some cannot be used.
    images : sequence of str

    Returns
    -------
    result : object
        What the function returned; None if no image can be used.
    reasons : dict of int to str
        Why the image at that position cannot be.
    """
    try:
        with warnings.catch_warnings():
            # An imputed row would be given a label like any other.
            warnings.simplefilter("error", ImageWarning)
            return function(list(images)), {}
    except (ImageErrors, ImageWarning):
        from featx.images import check_images

        table = check_images(images)
        if table["ok"].all():
            raise
    reasons = {i: error for i, error in enumerate(table["error"]) if error}
    readable = table["image"][table["ok"]].tolist()
    return function(readable) if readable else None, reasons
