"""``--task``: whether the folders' names are classes, or numbers to predict."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from featx.exceptions import InputError

_TASKS = ("auto", "classification", "regression")


def add_task(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--task",
        choices=_TASKS,
        default="auto",
        help="regression: folders are named by the numbers to predict (photos/12.5/...); default: as --head has it, "
        "else classification",
    )


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
