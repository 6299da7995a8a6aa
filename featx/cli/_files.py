"""The files that commands read and write: folders of images, tables, and what replaces an older file."""

from __future__ import annotations

import argparse
import csv
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from featx._atomic import atomic_file
from featx._warnings import warn
from featx.exceptions import FeatxError, ImageReadError, ImageWarning, InputError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(file: str | Path) -> Iterator[Path]:
    """Open a file to be written; it appears under its name when the block ends well.

    Parameters
    ----------
    file : str or Path
        The file to write or to replace.

    Yields
    ------
    Path
        An empty file beside it, to write to.

    Raises
    ------
    ParameterError
        If it cannot be written; before the block runs, if that is known by then.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featx.cli._files import replacing
    >>> file = Path(tempfile.mkdtemp()) / "answer.txt"
    >>> with replacing(file) as temporary:
    ...     _ = temporary.write_text("42")
    >>> file.read_text()
    '42'
    """
    check_target(file)
    target = Path(os.path.realpath(file))  # of a link, what it leads to
    try:
        with atomic_file(target) as temporary:
            temporary.touch()
            yield temporary
    except FeatxError:  # some are OSErrors: of the work, not of the writing
        raise
    except OSError as error:
        raise ParameterError(f"{target} cannot be written: {error.strerror or error}.") from error


def check_target(file: str | Path) -> None:
    """Refuse at once what could not be written after minutes of work.

    Raises
    ------
    ParameterError
        If its folder does not exist, or what has its name is not a file.
    """
    file = Path(file)
    if not file.parent.is_dir():
        raise ParameterError(f"Got {file}, but there is no folder {file.parent.absolute()}. Make it first.")
    if file.exists() and not file.is_file():
        raise ParameterError(f"Got {file}, which is not a file. Expected the name of a file to write.")


def write_csv(table: pd.DataFrame, file: Path | IO[str]) -> None:
    """Write a table as CSV, without its index, so that any name of a file is read back; lines end as on Unix.

    Parameters
    ----------
    table : pandas.DataFrame
        The table to write.
    file : Path or text file
        A text file keeps its encoding.
    """
    texts = table.select_dtypes(exclude="number")
    quoting = _quoting(value for name in texts for value in texts[name])
    table.to_csv(file, index=False, errors="surrogateescape", lineterminator="\n", quoting=quoting)


def _quoting(values: Iterable[Any]) -> Literal[0, 2]:
    # With "\n" as line ends the csv module quotes no carriage return by itself, and readers take it for a line's end.
    return csv.QUOTE_NONNUMERIC if any("\r" in str(value) for value in values) else csv.QUOTE_MINIMAL


def images_of_model(model: Any) -> list[str]:
    """List the columns of images of a pipeline of a table; none where it takes images alone."""
    from sklearn.compose import ColumnTransformer

    from featx._image_encoder import ImageEncoder
    from featx._trusted_types import walk
    from featx.table import TableEncoder

    first = getattr(model, "steps", [("", model)])[0][1]
    if isinstance(first, TableEncoder):
        return [first.image] if isinstance(first.image, str) else list(first.image)
    if not isinstance(first, ColumnTransformer):
        return []
    names: list[Any] = []
    for _, step, columns in first.transformers_:
        if any(isinstance(part, ImageEncoder) for part in walk(step)):
            names += [columns] if isinstance(columns, str) else columns
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def open_columns(table: str, names: Sequence[str], image: str | None, root: str | None) -> tuple[pd.DataFrame, str]:
    """Read a table whose columns of images are those that a model takes; return it, and the name of the first.

    Parameters
    ----------
    table : str
        The file.
    names : sequence of str
        The columns; none where the model takes images alone.
    image : str or None
        What the user calls the column, of a model that takes one.
    root : str or None
        Below which relative paths lie; None is the folder of the file.

    Raises
    ------
    ParameterError
        If the user names one of several.
    UnknownNameError, InputError
        If there is no such column, or the table cannot be read.
    """
    from featx.images import open_table

    if len(names) > 1 and image is not None:
        raise ParameterError(f"Got --image {image}. The model takes {', '.join(names)}: leave the option out.")
    return open_table(table, image or names or None, root=root)


def find_files(paths: Sequence[str]) -> list[str]:
    """List the images of folders and files, and warn of files that are left out."""
    from featx.images import find_images, warn_left_out

    images, left_out = find_images(paths)
    warn_left_out(left_out)
    return images


def is_table(parsed: argparse.Namespace) -> bool:
    """Whether the folder that was given is a table."""
    from featx.images import is_table_name

    return is_table_name(parsed.folder)


def refuse_table_options(parsed: argparse.Namespace) -> None:
    """Refuse what names columns where there is a folder."""
    for name in ("image", "target", "group", "root"):
        if getattr(parsed, name) is not None:
            raise ParameterError(f"Got --{name} with {parsed.folder}, a folder. Expected a table: a .csv, for example.")


@dataclass
class LabelledImages:
    """Labelled images, of a folder or of a table.

    Attributes
    ----------
    images : list
        A path each, or what else a table holds.
    labels : ndarray of shape (n,)
        Names of folders, or the table's column.
    groups : ndarray of shape (n,), or None
        The table's column, if there is one.
    frame : pandas.DataFrame
        All columns: image, label, and split of a folder; of a table its own, their paths from its root.
    """

    images: list[Any]
    labels: Any
    groups: Any
    frame: pd.DataFrame


def read_examples(parsed: argparse.Namespace, *, regression: bool) -> LabelledImages:
    """Read a folder, or a table, of labelled images.

    Parameters
    ----------
    parsed : Namespace
        With what `add_folder` and `add_table` declare.
    regression : bool
        Whether labels are numbers to predict.

    Returns
    -------
    LabelledImages
        Those that have a label.

    Raises
    ------
    InputError, ParameterError
        If there are none, or an option is for the other kind.
    """
    from featx.images import open_table

    if not is_table(parsed):
        refuse_table_options(parsed)
        table = read_labelled(parsed.folder, parsed.split)
        return LabelledImages(table["image"].tolist(), read_labels(table["label"], regression), None, table)
    if parsed.target is None:
        raise ParameterError(f"Got {parsed.folder} without --target. Expected the column to predict.")
    frame, image = open_table(parsed.folder, parsed.image, parsed.target, parsed.root)
    for option in ("target", "group"):
        name = getattr(parsed, option)
        if name is not None and name not in frame.columns:
            raise UnknownNameError(f"column for --{option}", name, list(map(str, frame.columns)))
    parsed.image = image
    columns = [name for name in (image, parsed.target, parsed.group) if name is not None]
    if len(set(columns)) < len(columns):
        raise ParameterError(f"Got --image, --target and --group {', '.join(columns)}. Expected different columns.")
    wanted = [parsed.target] if parsed.group is None else [parsed.target, parsed.group]
    for name, what in zip(wanted, ("a label", "a group"), strict=False):
        known = frame[name].notna().to_numpy()
        if not known.all():
            warn(f"Left out {(~known).sum():,} rows without {what}.", ImageWarning)
        frame = frame[known].reset_index(drop=True)
    if not len(frame):
        raise InputError(f"Got no rows in {parsed.folder} that have {' and '.join(wanted)}.")
    labels = frame[parsed.target].to_numpy()
    if regression and labels.dtype.kind not in "biuf":
        raise InputError(f"Got --target {parsed.target}, a column of text. Expected numbers, or --task classification.")
    groups = None if parsed.group is None else frame[parsed.group].to_numpy()
    return LabelledImages(frame[image].tolist(), labels if regression else _classes(labels), groups, frame)


def _classes(labels: Any) -> Any:
    import numpy as np

    return np.asarray(labels.tolist()) if labels.dtype.kind == "O" else labels


def read_labelled(folder: str, split: str | Mapping[str, str] | None = "auto") -> pd.DataFrame:
    """Read a folder of labelled images, and warn of images without a label, which are left out."""
    from featx.images import read_image_folder

    table = read_image_folder(folder, split=split)
    unlabeled = table["label"].isna()
    if unlabeled.any():
        warn(f"Left out {unlabeled.sum():,} images without a label.", ImageWarning)
    return table[~unlabeled].reset_index(drop=True)


def read_labels(names: Sequence[str], regression: bool) -> Any:
    """Return names of folders as they are, or as float64.

    Parameters
    ----------
    names : sequence of str
        The folders' names.
    regression : bool
        Whether they are numbers to predict.

    Returns
    -------
    ndarray of shape (n,)
        The labels.

    Raises
    ------
    InputError
        If a number is expected and a name is not one.

    Examples
    --------
    >>> from featx.cli._files import read_labels
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
            f"The head predicts numbers, but a folder's name is not one: {error}. Expected names such as 12.5, or "
            "--task classification."
        ) from error


def apply_to_readable(function: Callable[[list[Any]], Any], images: Sequence[Any]) -> tuple[Any, dict[int, str]]:
    """Call a function with the images that can be used, and report the others.

    Parameters
    ----------
    function : callable
        Takes a list of paths; raises `ImageReadError`, or warns that rows became NaN, if some cannot be used.
    images : sequence of str
        Paths.

    Returns
    -------
    result : object
        What the function returned; None if no image can be used.
    reasons : dict of int to str
        Why the image at that position cannot be used.
    """
    try:
        with warnings.catch_warnings():
            # An imputed row would be given a label like any other.
            warnings.simplefilter("error", ImageWarning)
            return function(list(images)), {}
    except (ImageReadError, ImageWarning):
        from featx.images import check_images

        table = check_images(images)
        if table["ok"].all():
            raise
    reasons = {i: error for i, error in enumerate(table["error"]) if error}
    readable = table["image"][table["ok"]].tolist()
    return function(readable) if readable else None, reasons
