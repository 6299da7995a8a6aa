"""Two sets of images or embeddings and their labels -> rows that can be compared."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from featx._image_encoder import ImageEncoder
from featx.adapt._table import align_columns, check_spread, is_table, read_table
from featx.evaluation import check_classes, check_embeddings
from featx.exceptions import FeatxWarning, ImageWarning, InputError
from featx.images import as_column

_SHOWN = 3


@dataclass(frozen=True)
class Domains:
    """What a comparison is about.

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


def read_domains(Xs: Any, ys: Any, Xt: Any, yt: Any, encoder: ImageEncoder) -> Domains:
    """Embed what is not embedded yet, drop rows that cannot be used, and number the classes.

    Raises
    ------
    InputError
        If one domain has images and the other embeddings, lengths or columns differ, the source has one class, or the
        domains share none.
    """
    n, m = _length(Xs), _length(Xt)
    if is_table(Xs) != is_table(Xt):
        kinds = ["embeddings" if is_table(X) else "images" for X in (Xs, Xt)]
        raise InputError(f"Got {kinds[0]} in Xs and {kinds[1]} in Xt. Expected images in both, or embeddings in both.")
    Xt = align_columns(Xs, Xt)
    labels, names = _number("source", ys, n)
    truth, theirs = (None, names) if yt is None else _number("target", yt, m)
    notes: list[str] = []
    classes, position = _join(names, theirs, notes)
    Zs, rows = _embed("source", Xs, encoder, notes)
    Zt, columns = _embed("target", Xt, encoder, notes)
    if Zs.shape[1] != Zt.shape[1]:
        raise InputError(f"Got {Zs.shape[1]} columns in Xs and {Zt.shape[1]} in Xt. Expected one encoder for both.")
    ys = labels[rows]
    if len(np.unique(ys)) < 2:
        raise InputError("Got images of the source that can be read of one class only. Expected two or more.")
    return Domains(Zs, ys, Zt, None if truth is None else position[truth[columns]], classes, notes)


def _number(domain: str, y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        return check_classes(y, n)
    except InputError as error:
        raise InputError(f"In the {domain}: {error}") from error


def _join(source: np.ndarray, target: np.ndarray, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All classes, and where each of the target's is among them."""
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
        warnings.warn(notes[-1], FeatxWarning, stacklevel=4)
    if missing:
        notes.append(
            f"{len(missing)} of the source's {len(source)} classes are not in the target ({_some(missing)}): "
            "methods that align whole domains expect the same classes in both."
        )
    places |= {name: len(source) + i for i, name in enumerate(alone)}
    classes = np.array([*source.tolist(), *alone], dtype=source.dtype if not alone else None)
    return classes, np.array([places[name] for name in target.tolist()])


def _embed(domain: str, X: Any, encoder: ImageEncoder, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Finite rows, and which they are."""
    if is_table(X):
        Z, why = read_table(X, domain), "Each has NaN or infinity."
    else:
        tolerant = clone(encoder).set_params(on_error="nan", on_missing="nan").set_output(transform="default")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)  # said below, with the domain's name
            Z, why = np.asarray(tolerant.transform(list(as_column(X).sources))), "featx.check_images says why."
    good = np.isfinite(Z).all(axis=1)
    if not len(Z):
        raise InputError(f"Got no rows in the {domain}. Expected images or embeddings.")
    if not good.any():
        raise InputError(f"Got {len(Z):,} rows in the {domain} of which none can be used. {why}")
    if not good.all():
        bad = np.flatnonzero(~good)
        notes.append(f"{len(bad):,} of {len(Z):,} rows of the {domain} cannot be used and are left out.")
        warnings.warn(f"{notes[-1]} Rows {_some(bad.tolist())}.", ImageWarning, stacklevel=4)
    Z = check_embeddings(Z[good], f"the {domain}")
    check_spread(Z, domain)
    return Z, np.flatnonzero(good)


def _length(X: Any) -> int:
    return len(X) if is_table(X) else len(as_column(X))


def _some(values: list) -> str:
    return ", ".join(map(repr, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
