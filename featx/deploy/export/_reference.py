"""The pipeline that a bundle is held against: what it answers, and which odd values it takes."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx._image_encoder import ImageEncoder
from featx.deploy._columns import UNKNOWN
from featx.deploy.export._head import ask
from featx.deploy.export._inputs import ValueInput, in_float32, walk
from featx.deploy.export._strip import Stripped
from featx.exceptions import ExportError, FeatxError


class Reference:
    """A copy of a pipeline, which says nothing while it works, in float32.

    Parameters
    ----------
    pipeline : estimator
    stripped : Stripped
        Of it.
    store : Path
        Where embeddings are kept for a while.
    own_cache : bool
        Whether encoders use the cache that they have, if they have one, instead.
    """

    def __init__(self, pipeline: Any, stripped: Stripped, store: Path, *, own_cache: bool):
        copies = {}
        for encoder in (part for part in walk(pipeline) if isinstance(part, ImageEncoder)):
            quiet = copies[id(encoder)] = in_float32(encoder)
            quiet.verbose = 0
            quiet.cache = (own_cache and encoder.cache) or str(store)
        self._pipeline = copy.deepcopy(pipeline, dict(copies))
        self._encoders = {image.name: copies[id(image.encoder)] for image in stripped.images}
        self._values = stripped.values
        self._is_table = stripped.is_table
        self._has_head = stripped.head is not None
        self._hint = "" if own_cache else " The built-in sample is made up: give rows of your own as sample=."

    def answers(self, X: Any) -> dict[str, np.ndarray]:
        """Label, scores and embedding of some rows.

        Raises
        ------
        ExportError
            If the pipeline cannot predict them.
        ImageErrors
            If an image of the sample cannot be read.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on rows that become NaN, on unknown categories
            embeddings = [encoder.transform(self._column(X, name)) for name, encoder in self._encoders.items()]
            embedding = np.concatenate([np.asarray(rows, np.float32) for rows in embeddings], axis=1)
            try:
                return {**(ask(self._pipeline, X) if self._has_head else {}), "embedding": embedding}
            except FeatxError:
                raise
            except Exception as error:  # a user's own steps raise what they like
                raise ExportError(f"The pipeline itself cannot predict the sample: {error}.{self._hint}") from error

    def probe(self, X: Any) -> tuple[dict[str, dict[str, Any]], list[Any]]:
        """Find out which odd values the pipeline takes: missing ones, and categories that it has never seen.

        Parameters
        ----------
        X : container of images, or DataFrame
            A sample.

        Returns
        -------
        rules : dict of str to dict
            For each column ``missing``; where it is no image also ``known`` and
            ``others``, as `read_columns` takes them.
        probes : list
            A row with each odd value that is taken: the bundle must take it alike.
        """
        rules, probes = {}, []
        for name, encoder in self._encoders.items():
            rules[name] = {"missing": False}
            if "nan" not in (encoder.on_missing, encoder.on_error):
                continue
            # An empty file is one that cannot be read.
            row = self._with_image(X, name, None if encoder.on_missing == "nan" else b"")
            if self._accepts(row):
                rules[name]["missing"] = True
                probes.append(row)
        for value in self._values:
            rows = {name: _with_value(X, value, odd) for name, odd in _odd_values(value).items()}
            taken = [name for name, row in rows.items() if self._accepts(row)]
            rules[value.name] = rule = {"known": value.categories, **_rules(value, taken)}
            if value.kind == "integer" and not rule["missing"]:
                taken = [name for name in taken if name != "NaN"]
            probes += [rows[name] for name in taken]
        return rules, probes

    def _with_image(self, X: Any, name: str, source: Any) -> Any:
        if self._column(X, name) is X:
            return [source]
        row = X.iloc[[0]].copy()
        row[name] = np.array([source], object)
        return row

    def _accepts(self, X: Any) -> bool:
        try:
            self.answers(X)
        except FeatxError:
            return False
        return True

    def _column(self, X: Any, name: str) -> Any:
        return X[name] if self._is_table else X


def _odd_values(value: ValueInput) -> dict[str, Any]:
    """Values that a pipeline may take or not; those most like missing ones first."""
    if value.kind != "category":
        unknown = {} if not value.categories else {"others": _next(max(value.categories), value.kind)}
        return {"NaN": np.nan, **unknown}
    missing = {"NaN": np.nan, "None": None, "NA": pd.NA}
    # Texts that look like missing values.
    texts = {text: text for text in ("nan", "None") if text in (value.categories or ())}
    return {value.null: missing[value.null], **missing, "others": UNKNOWN, **texts}


def _next(largest: float, kind: str) -> float:
    # float32 does not tell it from the largest.
    return largest + 1 if kind == "integer" else float(np.nextafter(largest, np.inf))


def _rules(value: ValueInput, taken: list[str]) -> dict[str, Any]:
    others = "others" in taken and value.categories is not None
    if value.kind == "category":
        return {"missing": [name for name in taken if name in ("NaN", "None", "NA")], "others": others}
    if others and not value.only_categories:  # what else sees the column wants the number itself
        return {"missing": "NaN" in taken and value.kind == "number", "known": None, "others": False}
    return {"missing": "NaN" in taken and (value.kind == "number" or others), "others": others}


def _with_value(X: Any, value: ValueInput, odd: Any) -> Any:
    row = X.iloc[[0]].copy()
    row[value.name] = pd.Series([odd], index=row.index, dtype=object if value.kind == "category" else None)
    return row
