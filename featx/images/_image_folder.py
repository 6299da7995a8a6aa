"""A folder of images -> a table of images, labels and splits."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx._warnings import warn
from featx.exceptions import ImageWarning, InputError, ParameterError, UnknownNameError
from featx.images._files import list_folder, warn_left_out

if TYPE_CHECKING:
    import pandas as pd

# Names of splits as words, without "set", "images" and the like; each the split that it means.
SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled", "unsup", "unsupervised"), "unlabeled"),
}
UNLABELED = "unlabeled"
_FILLERS = frozenset({"set", "sets", "data", "dataset", "split", "image", "images", "img", "imgs", "photos", "seg"})

logger = logging.getLogger("featx")


def read_image_folder(
    folder: str | Path, *, label: str | None = "parent", split: str | Mapping[str, str] | None = "auto"
) -> pd.DataFrame:
    """List the images of a folder, with their labels.

    Parameters
    ----------
    folder : str or Path
        A folder of ``<label>/...``, or of ``<split>/<label>/...``. Files with
        an image's suffix are listed unopened; of every other file the first
        bytes are read, and an image without a suffix is listed too. Backups
        and variants (``x.jpg.1``, ``.JPG_original``) and images of a format
        that cannot be read are left out with one warning. Names that begin
        with a dot and the housekeeping of systems (``@eaDir``, ``__MACOSX``)
        are passed over; links are followed.
    label : {"parent"} or None, default="parent"
        ``"parent"``: the first folder below `folder` (or below the split) that
        the image lies in; None in a split ``"unlabeled"``. None: no label column.
    split : {"auto"}, mapping of str to str, or None, default="auto"
        ``"auto"``: where the name of every folder directly below `folder` is a
        usual one of a split, in any case and form (``Training``, ``dev``,
        ``test_set``, ``holdout``, ``unlabeled``, ``val2017``), these are
        splits, called train, val, test and unlabeled. A mapping says what each
        of these folders is: ``{"Training": "train", "holdout": "test"}``.
        None: these folders are labels.

    Returns
    -------
    pandas.DataFrame
        Columns image (str), label, and split where there is one; in sorted
        order. Its ``attrs["left_out"]`` maps the path of each file that is
        left out to the reason, ``attrs["splits"]`` the folders to their splits.

    Raises
    ------
    InputError
        If there is no such folder, it holds no images, an image lies outside of
        a label's folder, or a folder is not named by the mapping.

    Warns
    -----
    ImageWarning
        If files are left out, or if folders are taken for labels that look like splits.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import featx
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("RGB", (8, 8)).save(folder / name / "1.png")
    >>> featx.read_image_folder(folder)["label"].tolist()
    ['cat', 'dog']
    """
    import pandas as pd

    if label not in ("parent", None):
        raise ParameterError(f"Got label={label!r}. Expected 'parent' or None.")
    if split is not None and not isinstance(split, Mapping) and split != "auto":
        raise ParameterError(f"Got split={split!r}. Expected 'auto', None, or a mapping: {{'Training': 'train'}}.")
    root = Path(folder).expanduser()
    images, left_out = list_folder(root)
    parts = [Path(file).relative_to(root).parts for file in images]
    splits = _name_splits(parts, split, root)
    above = _below_splits(parts, splits)
    columns: dict[str, list[Any]] = {"image": [os.path.join(root, *names) for names in parts]}
    if label is not None:
        columns["label"] = [_label(names, splits, above, root) for names in parts]
    if splits:
        columns["split"] = [splits[names[0]] for names in parts]
    try:
        table = pd.DataFrame(columns)
    except UnicodeEncodeError:  # a name that is not UTF-8, which pandas' str cannot hold
        table = pd.DataFrame(columns, dtype=object)
    table.attrs |= {"left_out": left_out, "splits": splits}
    warn_left_out(left_out)
    if label is not None and split == "auto":
        _warn_of_splits([names[above:] for names in parts], root)
    return table


def split_of(name: str) -> str | None:
    """Find the split that a folder's name usually stands for; None for another name.

    Examples
    --------
    >>> from featx.images._image_folder import split_of
    >>> [split_of(name) for name in ("Training", "test_set", "val2017", "hold-out", "cat")]
    ['train', 'test', 'val', 'test', None]
    """
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())
    words = [word for word in words if word not in _FILLERS]
    whole = "".join(words)
    return SPLITS.get(whole) or SPLITS.get(re.sub(r"(data)?set$|images?$|data$", "", whole))


def _name_splits(parts: Sequence[tuple[str, ...]], split: str | Mapping[str, str] | None, root: Path) -> dict[str, str]:
    """Map each folder directly below the root to its split; empty if these folders are labels."""
    if split is None:
        return {}
    folders = list(dict.fromkeys(names[0] for names in parts if len(names) > 1))
    loose = next((names for names in parts if len(names) == 1), None)
    if isinstance(split, Mapping):
        if unknown := [name for name in split if name not in folders]:
            raise UnknownNameError("folder in split=", unknown[0], folders)
        if unnamed := [name for name in folders if name not in split]:
            raise InputError(f"{root} holds the folder {unnamed[0]!r}. Expected split= to name each: {folders}.")
        if loose:
            raise InputError(f"{root.joinpath(*loose)} lies in no split's folder. Expected {root}/<split>/...")
        return {name: str(split[name]) for name in folders}
    usual = {name: split_of(name) for name in folders}
    splits = {name: split for name, split in usual.items() if split is not None}
    if loose or len(splits) < len(folders):
        return {}
    logger.info("splits=%s", splits)
    return splits


def _below_splits(parts: Sequence[tuple[str, ...]], splits: Mapping[str, str]) -> int:
    """How many leading folders are a split and no label: two where each split's folder holds another of its kind."""
    labelled = [names for names in parts if splits and splits[names[0]] != UNLABELED]
    doubled = bool(labelled) and all(len(n) > 3 and split_of(n[1]) == splits[n[0]] for n in labelled)
    return bool(splits) + doubled


def _warn_of_splits(labelled: Sequence[tuple[str, ...]], root: Path) -> None:
    """Say so where labels look like splits, which would be learned in silence."""
    inner: dict[str, set[str]] = {}
    for names in labelled:
        if len(names) > 2:
            inner.setdefault(names[0], set()).add(names[1])
    below = set().union(*inner.values())
    example = ", ".join(f"{name!r}: {split_of(name) or 'train'!r}" for name in sorted(inner)[:2])
    if len({split_of(name) for name in below} - {None}) > 1 and all(map(split_of, below)):
        why = f"although the folders in them are named like splits ({_some(below)}). Is {root} a folder too high?"
    elif any(_alike(one, other) for one, other in combinations(inner.values(), 2)):
        why = (
            f"although they hold the same folders ({_some(below)}). If they are splits, pass split={{{example}, ...}}; "
            "split=None says that they are labels."
        )
    else:
        return
    warn(f"Took the folders {_some(inner)} of {root} for labels, {why}", ImageWarning)


def _alike(one: set[str], other: set[str]) -> bool:
    shared = len(one & other)
    return shared > 1 and 2 * shared >= max(len(one), len(other))


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _label(names: tuple[str, ...], splits: Mapping[str, str], above: int, root: Path) -> str | None:
    if splits and splits[names[0]] == UNLABELED:
        return None
    if len(names) - above >= 2:
        return names[above]
    where = f"{root}/<split>/<label>/image.jpg" if splits else f"{root}/<label>/image.jpg"
    labels = f"; split=None makes labels of the folders {_some(splits)}" if splits else ""
    raise InputError(
        f"{root.joinpath(*names)} lies in no label's folder. Expected {where}; with label=None images need no "
        f"label{labels}."
    )
