"""A progress bar where somebody watches: on a terminal or in a notebook, in the main process."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any


def progress_bar(total: int, *, description: str, verbose: int, hits: int | None = None, unit: str = "img") -> Any:
    """Open a tqdm bar over the images that have to be encoded, or whatever else takes its time.

    Parameters
    ----------
    total : int
        Images to encode.
    description : str
    verbose : int
        0 shows nothing.
    hits : int, default=None
        Rows that were found in the store; shown beside the bar, with a count of errors.
    unit : str, default="img"

    Returns
    -------
    tqdm.tqdm
        A context manager with ``update`` and ``set_postfix``.
    """
    notebook = _in_notebook()
    if notebook:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    watched = (notebook or sys.stderr.isatty()) and multiprocessing.current_process().name == "MainProcess"
    bar = tqdm(total=total, desc=description, unit=unit, disable=not (verbose and watched), dynamic_ncols=True)
    if hits is not None:
        bar.set_postfix(hits=hits, errors=0, refresh=False)
    return bar


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})
