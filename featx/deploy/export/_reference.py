"""The pipeline that a bundle is held against: what it answers, and which odd values it takes."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np

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
                raise ExportError(f"The pipeline itself cannot predict the sample: {error}") from error

    def probe(self, X: Any) -> tuple[dict[str, dict[str, Any]], list[Any]]:
        """Find out which odd values the pipeline takes: missing ones, and categories that it has never seen.

        Parameters
        ----------
        X : container of images, or DataFrame
            A sample.

        Returns
        -------
        rules : dict of str to dict
            For each column ``missing``, a bool; where it is no image also ``known``,
            the categories, None where others are taken too.
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
            rules[value.name] = {"missing": False, "known": value.categories}
            for name, rule, odd in _odd_values(value):
                row = X.iloc[[0]].copy()
                row[value.name] = np.array([odd], object if value.kind == "category" else None)
                if self._accepts(row):
                    rules[value.name][name] = rule
                    probes.append(row)
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


def _odd_values(value: ValueInput) -> list[tuple[str, Any, Any]]:
    """Rule, what it becomes where the value is taken, and the value."""
    odd = [] if value.kind == "integer" else [("missing", True, np.nan)]
    if value.kind == "category":
        return [*odd, ("known", None, UNKNOWN)]
    return [*odd, ("known", None, max(value.categories) + 1)] if value.categories else odd
