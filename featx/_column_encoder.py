"""What encoders of one column share, whatever it holds: its name, the names that come out of it, the store."""

from __future__ import annotations

from functools import lru_cache
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from featx.exceptions import ParameterError, UnknownNameError
from featx.store import EmbeddingStore, Store

_POLICIES = ("raise", "nan")


class ColumnEncoder(TransformerMixin, BaseEstimator):
    """A stateless transformer of one column into embeddings that are kept in a store.

    A subclass has the parameters ``cache``, ``on_missing`` and ``verbose``, `fit`, `transform`, and `_count_outputs`.

    Attributes
    ----------
    feature_names_in_ : ndarray of shape (1,)
        The column's name, if `fit` was given a named one.
    """

    # All that skrub asks of a transformer of single columns.
    __single_column_transformer__ = True
    # What the column holds: its name where it has none.
    _content = "value"

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output's columns.

        Parameters
        ----------
        input_features : array of one str, default=None
            The column's name; None is the one that `fit` saw, or what the column holds (``"image"``, ``"text"``).

        Returns
        -------
        ndarray of str
            ``photo_0000``, ``photo_0001``, ...
        """
        if input_features is None:
            input_features = getattr(self, "feature_names_in_", [self._content])
        names = [input_features] if isinstance(input_features, str) else list(input_features)
        if len(names) != 1:
            raise ParameterError(
                f"Got {len(names)} input_features. Expected one: the name of the column of {self._content}s."
            )
        n = self._count_outputs()
        width = len(str(n - 1))
        return np.array([f"{names[0]}_{i:0{width}}" for i in range(n)], dtype=object)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A model that an older version saved lacks the parameters that there were not.
        parameters = signature(type(self)).parameters.values()
        missing = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in state}
        super().__setstate__(missing | state)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_missing == "nan"
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _count_outputs(self) -> int:
        """Length of an embedding."""
        raise NotImplementedError

    def _remember(self, name: str | None) -> None:
        if name is not None:
            self.feature_names_in_ = np.array([name], dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _check_policies(self, *parameters: str) -> None:
        for parameter in parameters:
            if getattr(self, parameter) not in _POLICIES:
                raise UnknownNameError(parameter, getattr(self, parameter), _POLICIES)

    def _verbosity(self) -> int:
        if not isinstance(self.verbose, Integral | np.bool_) or self.verbose < 0:
            raise ParameterError(f"Got verbose={self.verbose!r}. Expected 1, or 0 for no progress bar.")
        return int(self.verbose)

    def _store(self) -> Store | None:
        if self.cache is False or self.cache is None:
            return None
        if self.cache is True:
            return _open_store(None)
        if isinstance(self.cache, str) and "://" in self.cache:
            return _open_store(self.cache)
        if isinstance(self.cache, str | Path):
            return _open_store(str(Path(self.cache).expanduser().absolute()))
        if isinstance(self.cache, Store):
            return self.cache
        raise ParameterError(
            f"Got cache={self.cache!r}. Expected True, False, a folder, a URL or a store (get_many, put_many, lock)."
        )


def _open_store(location: str | None) -> EmbeddingStore:
    """One store object a location and process: its index is read once."""
    from featx.store import default_location

    return _opened(str(default_location()) if location is None else location, location is None)


@lru_cache(maxsize=8)
def _opened(location: str, default: bool) -> EmbeddingStore:
    return EmbeddingStore(None if default else location)
