"""Images and predictions -> what a page shows of them: confusions, a map, mistakes and suspicious labels."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from featx.auditing import Audit, audit
from featx.compare._report import Section, Tile
from featx.images import DecodeError, ImageColumn, load, location_of
from featx.pages import thumbnail

if TYPE_CHECKING:
    import pandas as pd

    from featx._image_encoder import ImageEncoder

SIDE, SHEET_COLUMNS = 40, 50
"""Pixels of a picture on the sheet of a map, and how many stand in a row."""

_MOST_CLASSES = 100  # of a matrix whose cells can be distinguished
_MOST_COUNTED = 40  # of one with room for the counts
_LONG = 12  # characters of a name that would make a column's head too high
_NAMES = 34.0  # per cent of the width for long names
_PICTURE = 96
_MOST_TILES, _MOST_GROUPS, _MOST_OF_A_GROUP = 12, 6, 6
_MOST_POINTS, _FEWEST_POINTS = 2000, 5
_COMPONENTS, _PERPLEXITY = 50, 30
_BACKGROUND = (236, 236, 234)
_QUALITY = 75


@dataclass(frozen=True)
class Predicted:
    """Images with their classes, true and predicted.

    Attributes
    ----------
    images : ImageColumn
    embeddings : ndarray of shape (n, dim)
        Of every image.
    rows : ndarray of int
        The image of each prediction, ascending: none, one or several for each image.
    truth, predicted : list
        Classes.
    confidence : ndarray
        Of each prediction, NaN where the head has none.
    """

    images: ImageColumn
    embeddings: np.ndarray
    rows: np.ndarray
    truth: list[Any]
    predicted: list[Any]
    confidence: np.ndarray

    @property
    def classes(self) -> list[Any]:
        return sorted(set(self.truth) | set(self.predicted))


def name_of(images: ImageColumn, row: int) -> str:
    """Name an image: its file, or its label in X."""
    location = location_of(images.sources[row])
    return Path(location).name if location else f"image {images.label(row)}"


def confusion_section(found: Predicted) -> list[Section]:
    """Show what is taken for what, where there are not too many classes."""
    if not found.truth or len(found.classes) > _MOST_CLASSES:
        return []
    text = (
        "True classes in rows, predictions from the pretrained features in columns; each image is predicted by a head "
        "that was not trained on it."
    )
    matrix = confusion(found.truth, found.predicted, found.classes)
    return [Section("matrix", "What is taken for what", text, matrix=matrix)]


def confusion(truth: Sequence[Any], predicted: Sequence[Any], classes: Sequence[Any]) -> dict[str, Any]:
    """Count predictions by class, and choose sizes with which any number of classes fits the width of a page.

    Parameters
    ----------
    truth, predicted : sequence of shape (n,)
        Classes.
    classes : sequence
        All of them, in order.

    Returns
    -------
    dict
        rows: a name and the cells (count, share of the row, hint) of each class; heads: names, or numbers where names
        are long, and upright whether they fit so; numbered and counted; the sizes in per cent of the width.
    """
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(truth, predicted, labels=classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [str(name) for name in classes]
    longest, n = max(map(len, names)), len(names)
    numbered = longest > _LONG
    label = 0.75 * (100 - _NAMES) / n if numbered else 75 / (n + 0.6 * longest)
    cell = (100 - _NAMES) / n if numbered else label / 0.75
    heads = [str(i + 1) for i in range(n)] if numbered else names
    rows = [
        (
            name,
            [
                (int(count), round(float(share), 3), f"{name}, predicted {names[j]}: {count:,}")
                for j, (count, share) in enumerate(zip(*pair, strict=True))
            ],
        )
        for name, pair in zip(names, zip(counts, shares, strict=True), strict=True)
    ]
    return {
        "rows": rows,
        "heads": heads,
        "upright": 0.62 * max(map(len, heads)) * min(label, 1.3) <= 0.9 * min(cell, 7.7),  # of a page at full width
        "numbered": numbered,
        "counted": n <= _MOST_COUNTED,
        "longest": longest,
        "label_size": round(label, 3),
        "count_size": round(cell / (0.7 * max(2, len(f"{counts.max()}"))), 3),
    }


def map_section(found: Predicted) -> list[Section]:
    """Show where the pretrained network puts the images, where there are enough of them."""
    first = np.unique(found.rows, return_index=True)[1]  # an image may have been tested more than once
    if len(first) < _FEWEST_POINTS:
        return []
    shown = first[map_rows(len(first))]
    text = (
        f"{len(shown):,} images where the pretrained network puts them (PCA, then t-SNE: neighbors mean something, "
        "distances between clusters do not). Ringed: predicted wrongly. Point at one to see it, choose a class to see "
        "it alone."
    )
    return [Section("map", "Map of the embeddings", text, map=plane_map(found, shown))]


def plane_map(found: Predicted, shown: np.ndarray) -> dict[str, Any]:
    """Give points their class, prediction, name and picture.

    Parameters
    ----------
    found : Predicted
    shown : ndarray of int
        Which predictions are shown.
    """
    rows, classes = found.rows[shown], found.classes
    numbers = {name: i for i, name in enumerate(classes)}
    places = embed_plane(found.embeddings[rows])
    return {
        "points": [
            [round(float(x), 4), round(float(y), 4), numbers[found.truth[i]], numbers[found.predicted[i]]]
            for (x, y), i in zip(places, shown, strict=True)
        ],
        "sheet": draw_sheet([found.images.sources[row] for row in rows]),
        "side": SIDE,
        "columns": SHEET_COLUMNS,
        "names": [name_of(found.images, row) for row in rows],
        "classes": [str(name) for name in classes],
        "longest": max(len(str(name)) for name in classes),
    }


def map_rows(n: int, seed: int = 0, most: int = _MOST_POINTS) -> np.ndarray:
    """Choose the rows to be shown, ascending: all, or a sample.

    Examples
    --------
    >>> from featx.compare._plots import map_rows
    >>> map_rows(3).tolist(), len(map_rows(5000))
    ([0, 1, 2], 2000)
    """
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def embed_plane(embeddings: np.ndarray) -> np.ndarray:
    """Lay rows out so that neighbors stay neighbors: t-SNE after PCA.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim)
        Three rows or more.

    Returns
    -------
    ndarray of shape (n, 2)
        From 0 to 1.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n = len(embeddings)
    if not np.ptp(embeddings, axis=0).any():
        return np.full((n, 2), 0.5)
    parts = PCA(min(_COMPONENTS, n, embeddings.shape[1]), random_state=0).fit_transform(embeddings.astype(np.float32))
    plane = TSNE(perplexity=min(_PERPLEXITY, (n - 1) / 3), init="random", random_state=0).fit_transform(parts)
    low = plane.min(axis=0)
    return (plane - low) / np.maximum(np.ptp(plane, axis=0), np.finfo(np.float32).tiny)


def draw_sheet(sources: Sequence[Any]) -> str:
    """Draw images at 40 x 40 in rows of 50, as one JPEG: 2,000 photos are about 1.5 MB, a fifth of as many files.

    Parameters
    ----------
    sources : sequence
        Paths, bytes, PIL images or uint8 arrays; one that cannot be read stays gray.

    Returns
    -------
    str
        A ``data:`` URI.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.compare._plots import draw_sheet
    >>> draw_sheet([np.zeros((8, 8), "uint8")])[:23]
    'data:image/jpeg;base64,'
    """
    sheet = Image.new("RGB", (SIDE * SHEET_COLUMNS, SIDE * -(-len(sources) // SHEET_COLUMNS)), _BACKGROUND)
    for i, source in enumerate(sources):
        try:
            _, image = load(source, at_least=2 * SIDE)
        except DecodeError:
            continue
        down, right = divmod(i, SHEET_COLUMNS)
        sheet.paste(ImageOps.pad(image, (SIDE, SIDE), color=_BACKGROUND), (SIDE * right, SIDE * down))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def mistakes_section(found: Predicted) -> list[Section]:
    """Show the images about which the head is most confident and wrong."""
    wrong = np.flatnonzero([a != b for a, b in zip(found.truth, found.predicted, strict=True)])
    surest = wrong[np.argsort(-np.nan_to_num(found.confidence[wrong]), kind="stable")]
    once = surest[np.sort(np.unique(found.rows[surest], return_index=True)[1])][:_MOST_TILES]
    if not len(once):
        return []
    text = "Images about which the head on the pretrained features is most confident and wrong: hard, or mislabeled."
    return [Section("mistakes", "Most confident mistakes", text, tiles=[_mistake(found, i) for i in once])]


def _mistake(found: Predicted, i: int) -> Tile:
    confidence = found.confidence[i]
    sure = "" if np.isnan(confidence) else f" ({100 * confidence:.0f}\N{NO-BREAK SPACE}%)"
    return _tile(found.images, int(found.rows[i]), [f"is {found.truth[i]}", f"predicted {found.predicted[i]}{sure}"])


def suspects_section(
    images: ImageColumn, labels: Sequence[Any], groups: Any, regression: bool, encoder: ImageEncoder
) -> Section:
    """Audit images, and show labels that are likely wrong, the least likely first, and copies.

    Parameters
    ----------
    images : ImageColumn
        All images that were compared.
    labels : sequence of shape (n,)
        Their labels.
    groups : array of shape (n,) or None
        As for `audit`.
    regression : bool
        Whether the labels are numbers to predict, which are not audited.
    encoder : ImageEncoder
        The pretrained one.
    """
    found = audit(
        images.sources,
        labels,
        groups=groups,
        task="regression" if regression else "classification",
        encoder=encoder,
        verbose=0,
    )
    audited = found.labels is not None
    return Section(
        "suspects",
        "Likely wrong labels, and copies" if audited else "Copies",
        _suspects_text(found.counts, audited),
        tiles=_doubtful(images, found),
        groups=_copies(images, found),
        remarks=found.explanations,
    )


def _suspects_text(counts: dict[str, int], audited: bool) -> str:
    labels = (
        f"{counts['label_issues']:,} labels are likely wrong: a head that was not trained on the image is surer of "
        "another class than it usually is of that class itself. "
    )
    conflicting = counts["conflicting_groups"]
    where = f", in {conflicting:,} groups with different labels" if conflicting else ""
    return (
        f"{labels if audited else ''}{counts['copies']:,} images are copies of others{where}. Copies on both sides of "
        "a fold flatter every feature set: pass them as groups. featx.audit(X, y) lists all."
    )


def _doubtful(images: ImageColumn, found: Audit) -> list[Tile]:
    table = found.table.reset_index(drop=True)
    doubtful = table[table["suggested_label"].notna()].sort_values("label_quality", kind="stable")
    return [
        _tile(images, i, [f"is {row['label']}", f"more like {row['suggested_label']}"])
        for i, row in doubtful.head(_MOST_TILES).iterrows()
    ]


def _copies(images: ImageColumn, found: Audit) -> list[list[Tile]]:
    """Make groups of copies, those with different labels first."""
    table = found.table.reset_index(drop=True)
    copies = table[table["duplicate_group"].notna()]
    order = np.argsort(~copies["duplicate_label_conflict"].to_numpy(), kind="stable")
    chosen = copies["duplicate_group"].iloc[order].unique()[:_MOST_GROUPS]
    return [_group(images, copies[copies["duplicate_group"] == number]) for number in chosen]


def _group(images: ImageColumn, rows: pd.DataFrame) -> list[Tile]:
    return [_tile(images, i, [_label_text(row["label"])]) for i, row in rows.head(_MOST_OF_A_GROUP).iterrows()]


def _label_text(label: object) -> str:
    return f"is {label:.4g}" if isinstance(label, float) else f"is {label}"


def _tile(images: ImageColumn, row: int, lines: list[str]) -> Tile:
    return thumbnail(images.sources[row], _PICTURE), lines, name_of(images, row)
