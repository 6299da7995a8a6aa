"""Labels that names tell: files called cat_017.jpg, a column of such names beside the photo."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.images import is_missing, location_of

_SHARE = 0.95  # of the rows: fewer are chance, or a habit that some kept
_FEWEST = 10


def notes_on_names(sources: Sequence[Any], table: Any, labels: Sequence[Any]) -> list[str]:
    """Say which names hold the label of their row.

    Parameters
    ----------
    sources : sequence
        The images; of paths and URLs the names are read, without their folders.
    table : DataFrame or None
        Other columns, of which those of texts are read.
    labels : sequence of shape (n,)
        None where a label is missing.

    Returns
    -------
    list of str
        Sentences; none where names tell nothing.

    Examples
    --------
    >>> from featx.auditing._leaks import notes_on_names
    >>> files = [f"photos/{kind}_{i}.jpg" for i in range(9) for kind in ("cat", "dog")]
    >>> notes_on_names(files, None, ["cat", "dog"] * 9)[0]
    'The names of 100 % of the files hold the label, such as cat_0.jpg: among the features they would tell it.'
    """
    texts = [_as_text(label) for label in labels]
    if len({text for text in texts if text}) < 2:
        return []
    names = [Path(location).name if (location := location_of(source)) else None for source in sources]
    notes = []
    if share := _telling(names, texts):
        example = next(name for name in names if name)
        notes.append(
            f"The names of {100 * share:.0f} % of the files hold the label, such as {example}: among the features they "
            "would tell it."
        )
    for column in [] if table is None else list(table.columns):
        values = [value if isinstance(value, str) else None for value in table[column]]
        pairs = zip(values, sources, strict=True)
        if all(value is not None and value == location_of(source) for value, source in pairs):  # the images
            continue
        if share := _telling(values, texts):
            notes.append(f"The column {column!r} holds the label in {100 * share:.0f} % of the rows: leave it out.")
    return notes


def _telling(names: Sequence[str | None], texts: Sequence[str]) -> float:
    """Return the share of names that hold their label as a word; 0 where it is small, or there are few names."""
    known = [(name.casefold(), text) for name, text in zip(names, texts, strict=True) if name and text]
    if len(known) < _FEWEST:
        return 0.0
    share = sum(re.search(rf"(?<![a-z0-9]){re.escape(text)}(?![a-z0-9])", name) is not None for name, text in known)
    return share / len(known) if share >= _SHARE * len(known) else 0.0


def _as_text(label: Any) -> str:
    if is_missing(label):
        return ""
    if isinstance(label, float) and math.isfinite(label) and label.is_integer():
        label = int(label)
    return str(label).strip().casefold()
