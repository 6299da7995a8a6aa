"""Two sets of images or embeddings and their labels -> rows that can be compared."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from featx._image_encoder import ImageEncoder
from featx._warnings import warn
from featx.evaluation import check_classes, check_embeddings
from featx.exceptions import FeatxWarning, ImageWarning, InputError
from featx.images import as_column

_SHOWN = 3
_LARGEST = 1e100  # larger numbers, or sums of them, overflow when squared


@dataclass(frozen=True)
class Domains:
    """Rows of both domains.

    Attributes
    ----------
    Zs, Zt : ndarray of shape (n, dim), float64
        Embeddings of source and target, all finite.
    ys : ndarray of int
        Position in `classes`.
    yt : ndarray of int or None
        The same, of classes that the source lacks too; None where the target has no labels.
    classes : ndarray
        Those of the source, then those of the target alone.
    notes : list of str
        What was left out, and what no method can do.
    """

    Zs: np.ndarray
    ys: np.ndarray
    Zt: np.ndarray
    yt: np.ndarray | None
    classes: np.ndarray
    notes: list[str]


def read_domains(
    X_source: Any, y_source: Any, X_target: Any, y_target: Any, encoder: ImageEncoder
) -> tuple[Domains, np.ndarray, np.ndarray]:
    """Embed what is not embedded yet, drop rows that cannot be used, and number the classes.

    Parameters
    ----------
    X_source, y_source, X_target, y_target
        As for `adaptation_report`.
    encoder : ImageEncoder
        Embeds images.

    Returns
    -------
    domains : Domains
    source_rows, target_rows : ndarray of int
        Positions of the rows that can be used.

    Raises
    ------
    InputError
        If one domain has images and the other embeddings, lengths or columns differ, the source has one class, or the
        domains share none.
    """
    n, m = count_rows(X_source), count_rows(X_target)
    if is_table(X_source) != is_table(X_target):
        kinds = ["embeddings" if is_table(X) else "images" for X in (X_source, X_target)]
        raise InputError(
            f"Got {kinds[0]} in X_source and {kinds[1]} in X_target. Expected images in both, or embeddings in both."
        )
    X_target = align_columns(X_source, X_target)
    labels, names = _number("source", y_source, n)
    truth, theirs = (None, names) if y_target is None else _number("target", y_target, m)
    notes: list[str] = []
    classes, position = _join(names, theirs, notes)
    Zs, source_rows = _embed("source", X_source, encoder, notes)
    Zt, target_rows = _embed("target", X_target, encoder, notes)
    if Zs.shape[1] != Zt.shape[1]:
        raise InputError(
            f"Got {Zs.shape[1]} columns in X_source and {Zt.shape[1]} in X_target. Expected one encoder for both."
        )
    ys = labels[source_rows]
    if len(np.unique(ys)) < 2:
        raise InputError("Got images of the source that can be read of one class only. Expected two or more.")
    yt = None if truth is None else position[truth[target_rows]]
    return Domains(Zs, ys, Zt, yt, classes, notes), source_rows, target_rows


def count_rows(X: Any) -> int:
    """Count images, or rows of embeddings."""
    return len(X) if is_table(X) else len(as_column(X))


def is_table(X: Any) -> bool:
    """Return whether X holds embeddings: numbers, other than pixels, in rows and columns.

    Raises
    ------
    InputError
        If it is a list of rows of numbers.
    """
    if isinstance(X, list | tuple) and len(X) and (isinstance(X[0], list | tuple) or getattr(X[0], "ndim", 0) == 1):
        raise InputError(
            f"Got a {type(X).__name__} of {type(X[0]).__name__}s. Expected images, or embeddings: np.array(X)."
        )
    pixels = isinstance(X, np.ndarray) and X.dtype == np.uint8
    return _is_frame(X) or (isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiu" and not pixels)


def read_table(X: Any, domain: str) -> np.ndarray:
    """Read the numbers of a table, NaN where one is missing.

    Raises
    ------
    InputError
        If a column holds anything else.
    """
    try:
        if isinstance(X, pd.DataFrame):
            return X.to_numpy(np.float64, na_value=np.nan)
        return np.asarray(X.to_numpy() if _is_frame(X) else X, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Got a column in the {domain} that does not hold numbers ({error}). Expected embeddings, numbers in every "
            "column: drop the others."
        ) from error


def align_columns(X_source: Any, X_target: Any) -> Any:
    """Bring the columns of the target into the source's order, where both have names.

    Raises
    ------
    InputError
        If they have other names.
    """
    if not (_is_frame(X_source) and _is_frame(X_target)):
        return X_target
    ours, theirs = list(X_source.columns), list(X_target.columns)
    if ours == theirs or len(ours) != len(theirs):  # their number is compared for arrays too
        return X_target
    if set(ours) != set(theirs) or len(set(ours)) < len(ours):
        other = [name for name in theirs if name not in set(ours)] or theirs
        raise InputError(
            f"Got columns in X_target that X_source does not have, or names twice ({', '.join(map(str, other[:3]))}). "
            "Expected the same names in both; pass arrays to compare columns by position."
        )
    return X_target[ours]


def check_spread(Z: np.ndarray, domain: str) -> None:
    """Raise where finite rows hold no information.

    Raises
    ------
    InputError
        If all are the same, or too large or too small for their squares.
    """
    if len(Z) > 1 and (Z[0] == Z).all():
        raise InputError(f"Got the same embedding in every usable row of the {domain}. Expected rows that differ.")
    largest = float(np.abs(Z).max())
    if not 1 / _LARGEST < largest < _LARGEST:
        raise InputError(
            f"Got embeddings in the {domain} whose largest number is {largest:.3g}. Expected one from {1 / _LARGEST:g} "
            f"to {_LARGEST:g}: divide both domains by {largest:.3g}."
        )


def _is_frame(X: Any) -> bool:
    """Return whether X is a frame of pandas or polars, of several columns: one alone holds images."""
    return hasattr(X, "columns") and len(getattr(X, "shape", ())) == 2 and X.shape[1] > 1


def _number(domain: str, y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        return check_classes(y, n)
    except InputError as error:
        raise InputError(f"In the {domain}: {error}") from error


def _join(source: np.ndarray, target: np.ndarray, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Join the classes of both domains, and find where each of the target's is among them."""
    places = {name: i for i, name in enumerate(source.tolist())}
    alone = [name for name in target.tolist() if name not in places]
    if len(alone) == len(target):
        raise InputError(
            f"Got classes {_some(source.tolist())} in the source and {_some(alone)} in the target: they share none. "
            "Expected the same classes, by the same names, in both."
        )
    missing = [name for name in source.tolist() if name not in set(target.tolist())]
    if alone:
        message = f"{len(alone)} of the target's {len(target)} classes are not in the source ({_some(alone)}): "
        notes.append(message + "no method can predict them, and their images count as wrong.")
        warn(notes[-1], FeatxWarning)
    if missing:
        notes.append(
            f"{len(missing)} of the source's {len(source)} classes are not in the target ({_some(missing)}): "
            "methods that align whole domains expect the same classes in both."
        )
    places |= {name: len(source) + i for i, name in enumerate(alone)}
    classes = np.array([*source.tolist(), *alone], dtype=source.dtype if not alone else None)
    return classes, np.array([places[name] for name in target.tolist()])


def _embed(domain: str, X: Any, encoder: ImageEncoder, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return finite rows, and which they are."""
    if is_table(X):
        Z, why = read_table(X, domain), "Each has NaN or infinity."
    else:
        tolerant = clone(encoder).set_params(on_error="nan", on_missing="nan").set_output(transform="default")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)  # repeated below, with the domain's name
            Z, why = np.asarray(tolerant.transform(X)), "featx.check_images says why."
    good = np.isfinite(Z).all(axis=1)
    if not len(Z):
        raise InputError(f"Got no rows in the {domain}. Expected images or embeddings.")
    if not good.any():
        raise InputError(f"Got {len(Z):,} rows in the {domain} of which none can be used. {why}")
    if not good.all():
        bad = np.flatnonzero(~good)
        notes.append(f"{len(bad):,} of {len(Z):,} rows of the {domain} cannot be used and are left out.")
        warn(f"{notes[-1]} Rows {_some(bad.tolist())}.", ImageWarning)
    Z = check_embeddings(Z[good], f"the {domain}")
    check_spread(Z, domain)
    return Z, np.flatnonzero(good)


def _some(values: list) -> str:
    return ", ".join(map(repr, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
