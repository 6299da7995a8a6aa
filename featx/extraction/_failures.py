"""Rows that cannot be encoded: collected to the end, then raised or turned into NaN."""

from __future__ import annotations

import warnings
from typing import Any

from featx.exceptions import ImageErrors, ImageWarning, list_rows
from featx.images import ImageColumn

# A wrong root folder shows early: bad rows are plainly the rule above this share, once so many are seen.
_RULE_SHARE = 0.05
_RULE_ROWS = 200


class Failures:
    """The bad rows of one call.

    Parameters
    ----------
    column : ImageColumn
    on_error, on_missing : {"raise", "nan"}
        What becomes of unreadable and of missing rows.
    """

    def __init__(self, column: ImageColumn, on_error: str, on_missing: str):
        self._column = column
        self._on_error = on_error
        self._on_missing = on_missing
        self._errors: dict[int, str] = {}
        self._missing: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._errors) + len(self._missing)

    @property
    def n_errors(self) -> int:
        """Unreadable rows, missing ones not counted."""
        return len(self._errors)

    def positions(self) -> list[int]:
        """The bad rows, in order."""
        return sorted([*self._errors, *self._missing])

    def add_error(self, position: int, reason: str) -> None:
        self._errors[position] = reason

    def add_missing(self, position: int) -> None:
        self._missing[position] = f"missing ({self._column.sources[position]!r})"

    def stop_if_the_rule(self, seen: int) -> None:
        """Give up early where nearly nothing can be read.

        Raises
        ------
        ImageErrors
            If errors raise and more than 5 % of the rows seen, at least 200, are bad.
        """
        if self._on_error == "raise" and seen >= _RULE_ROWS and self.n_errors > _RULE_SHARE * seen:
            raise ImageErrors(self._rows(self._errors), len(self._column), None, stopped_after=seen)

    def settle(self, *, stored: bool) -> None:
        """Raise or warn, once everything else is done.

        Parameters
        ----------
        stored : bool
            Whether the good rows are in a store.

        Raises
        ------
        ImageErrors
            If there are rows whose policy is "raise".
        """
        raising = (self._errors if self._on_error == "raise" else {}) | (
            self._missing if self._on_missing == "raise" else {}
        )
        if raising:
            n_stored = len(self._column) - len(self) if stored else None
            raise ImageErrors(self._rows(raising), len(self._column), n_stored)
        if len(self):
            rows = self._rows(self._errors | self._missing)
            warnings.warn(
                "\n".join([f"{len(rows):,} of {len(self._column):,} images became NaN rows:", *list_rows(rows)]),
                ImageWarning,
                stacklevel=5,
            )

    def _rows(self, reasons: dict[int, str]) -> list[tuple[int, Any, Any, str]]:
        column = self._column
        return [(i, column.label(i), column.sources[i], reasons[i]) for i in sorted(reasons)]
