"""``--task``: whether the folders' names are classes, or numbers to predict."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any

from featx.exceptions import InputError

_TASKS = ("auto", "classification", "regression")


def add_task(command: argparse.ArgumentParser, *, auto: str = "classification") -> None:
    """Declare it; `auto` says what it is where it is not given."""
    command.add_argument(
        "--task",
        choices=_TASKS,
        default="auto",
        metavar="NAME",
        help="classification, or regression: folders are named by the numbers to predict (photos/12.5/...); default: "
        + auto,
    )


def in_options(text: str) -> str:
    """What the library says of its parameter, as the command line has it.

    Examples
    --------
    >>> from featx.cli._task import in_options
    >>> in_options('Pass task="regression".')
    'Pass --task regression.'
    """
    return re.sub(r'task="(\w+)"', r"--task \1", text)


def read_labels(names: Sequence[str], regression: bool) -> Any:
    """Names of folders as they are, or as float64.

    Parameters
    ----------
    names : sequence of str
    regression : bool

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    InputError
        If a name is no number, and one is wanted.

    Examples
    --------
    >>> from featx.cli._task import read_labels
    >>> read_labels(["1.5", "20"], regression=True).tolist()
    [1.5, 20.0]
    """
    import numpy as np

    labels = np.array(list(names))
    if not regression:
        return labels
    try:
        return labels.astype(float)
    except ValueError as error:
        raise InputError(
            f"The head predicts numbers, but a folder's name is none: {error}. Expected names such as 12.5, or "
            "--task classification."
        ) from error
