"""Rows that cannot be encoded: collected to the end, then raised or turned into NaN."""

from __future__ import annotations

from typing import Any

from featx._warnings import warn_once
from featx.exceptions import (
    ImageReadError,
    ImageWarning,
    NonFiniteEmbeddingError,
    are_the_rule,
    describe,
    list_rows,
)
from featx.images import ImageColumn, is_missing

# A wrong root folder shows early: bad rows are plainly the rule above this share, once so many are seen.
_RULE_SHARE = 0.05
_RULE_ROWS = 200
_NON_FINITE = "NaN or infinite numbers from the network"


class Failures:
    """The bad rows of one call.

    Parameters
    ----------
    column : ImageColumn
    on_error, on_missing : {"raise", "nan", "tell"}
        What becomes of unreadable and of missing rows; nothing is raised of any row where `on_error` is "tell".
    encoder, precision : str
        Of the network, for what is said of its numbers.
    """

    def __init__(
        self, column: ImageColumn, on_error: str, on_missing: str, *, encoder: str = "", precision: str = "float32"
    ):
        self._column = column
        self._on_error = on_error
        self._on_missing = on_missing
        self._encoder = encoder
        self._precision = precision
        self._errors: dict[int, str] = {}
        self._missing: dict[int, str] = {}
        self._non_finite: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._errors) + len(self._missing)

    @property
    def n_errors(self) -> int:
        """Unreadable rows, missing ones not counted."""
        return len(self._errors)

    def positions(self) -> list[int]:
        """List the bad rows, in order."""
        return sorted([*self._errors, *self._missing])

    def reasons(self) -> dict[int, str]:
        """Say of every row that has no embedding why, in order."""
        return dict(sorted((self._errors | self._missing | self._non_finite).items()))

    def add_error(self, position: int, reason: str) -> None:
        self._errors[position] = reason

    def add_missing(self, position: int, cell: Any) -> None:
        self._missing[position] = f"missing ({cell!r})"

    def add_non_finite(self, position: int) -> None:
        self._non_finite[position] = _NON_FINITE

    def stop_if_the_rule(self, seen: int) -> None:
        """Give up early where nearly nothing can be read, or the network is broken.

        Raises
        ------
        ImageReadError
            If errors raise and more than 5 % of the rows seen, at least 200, are bad.
        NonFiniteEmbeddingError
            If the network gave such numbers for more than 5 % of the rows seen, at least 200.
        """
        if seen < _RULE_ROWS or self._on_error == "tell":
            return
        if len(self._non_finite) > _RULE_SHARE * seen:
            self.refuse_non_finite()
        if self._on_error == "raise" and self.n_errors > _RULE_SHARE * seen:
            raise ImageReadError(self._rows(self._errors), len(self._column), None, stopped_after=seen)

    def refuse_non_finite(self) -> None:
        """Raise for rows that the network gave no numbers for, under either policy.

        Raises
        ------
        NonFiniteEmbeddingError
            If there are any.
        """
        if self._non_finite and self._on_error != "tell":
            rows = self._rows(self._non_finite)
            raise NonFiniteEmbeddingError(self._encoder, self._precision, rows, len(self._column))

    def settle(self, *, stored: bool) -> None:
        """Raise or warn, once everything else is done.

        Parameters
        ----------
        stored : bool
            Whether the good rows are in a store.

        Raises
        ------
        ImageReadError
            If there are rows whose policy is "raise", or unreadable ones are plainly the rule.
        """
        raising = (self._errors if self._on_error == "raise" else {}) | (
            self._missing if self._on_missing == "raise" else {}
        )
        n, present = len(self._column), len(self._column) - len(self._missing)
        if raising:
            raise ImageReadError(self._rows(raising), n, n - len(self) if stored else None)
        if are_the_rule(self.n_errors, present):
            raise ImageReadError(self._rows(self._errors), n, None, stopped_after=n)
        if len(self):
            rows = self._rows(self._errors | self._missing)
            became = "became NaN rows" if self._column.places is None else "cannot be used in their rows"
            warn_once(
                "\n".join([f"{len(rows):,} of {n:,} images {became}:", *list_rows(rows)]),
                ImageWarning,
                {self._name(source, reason) for _, _, source, reason in rows},
            )

    def _rows(self, reasons: dict[int, str]) -> list[tuple[Any, Any, Any, str]]:
        column = self._column
        return [(column.place(i), column.label(i), column.sources[i], reasons[i]) for i in sorted(reasons)]

    def _name(self, source: Any, reason: str) -> tuple:
        """Identify a bad row across calls; missing ones are known only by their number."""
        return describe(source), reason, len(self._missing) if is_missing(source) else None
