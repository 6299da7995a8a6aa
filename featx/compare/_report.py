"""Report: what the reports of this package and of others share, and their page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from featx._optional import import_optional
from featx.compare._decision import HELPS, HURTS, UNDECIDED
from featx.pages import write_page

if TYPE_CHECKING:
    import pandas as pd

Tile = tuple[str, list[str], str]
"""A picture as a data URI, lines of text below it, and its name."""

_TEMPLATE = Path(__file__).with_name("report.html")
_TONES = {HELPS: "good", HURTS: "bad", UNDECIDED: "unsure"}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    columns : list of str
    rows : list of list of str
    best : int or None
        Position of the row that is set in bold.
    """

    columns: list[str]
    rows: list[list[str]]
    best: int | None = None


@dataclass(frozen=True)
class Section:
    """One section of a page; it shows what it has, in the order of the attributes.

    Attributes
    ----------
    name : str
        The anchor.
    title : str
    text : str
        What it shows.
    figure : str
        SVG.
    table : Table or None
    matrix : dict or None
        As returned by `confusion`.
    map : dict or None
        As returned by `plane_map`; on one section of a page.
    tiles : list of Tile
    groups : list of list of Tile
    remarks : list of str
        How to read it.
    """

    name: str
    title: str
    text: str = ""
    figure: str = ""
    table: Table | None = None
    matrix: dict[str, Any] | None = None
    map: dict[str, Any] | None = None
    tiles: list[Tile] = field(default_factory=list)
    groups: list[list[Tile]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Report(ABC):
    """What a comparison found: a decision, the evidence, and a page that shows it.

    Parameters
    ----------
    decision : {"helps", "hurts", "undecided"}
        The decision alone.
    sentences : sequence of str
        The decision and its evidence; the first is the headline of the page.
    summary : DataFrame
        One row for each thing that was compared.
    notes : list of str
        What the reader must know of the data.
    n_folds : int
        Number of folds.

    Attributes
    ----------
    decision : {"helps", "hurts", "undecided"}
    verdict : str
        The decision and its evidence in a few sentences.
    summary : DataFrame
    notes : list of str
    n_folds : int
    """

    _title: ClassVar[str]
    _rule: ClassVar[str]
    """When it helps and when it hurts, for the page."""
    _shown: ClassVar[Sequence[str]]
    """The columns of the summary that are printed, where they exist."""

    def __init__(
        self, decision: str, sentences: Sequence[str], summary: pd.DataFrame, notes: list[str], n_folds: int
    ) -> None:
        self.decision, self.summary, self.notes, self.n_folds = decision, summary, notes, n_folds
        self._sentences = list(sentences)

    @property
    def verdict(self) -> str:
        return " ".join(self._sentences)

    def __repr__(self) -> str:
        table = self.summary[[name for name in self._shown if name in self.summary]]
        return "\n".join([self.verdict, "", table.round(3).to_string(na_rep=""), *self._remarks(), *self.notes])

    @abstractmethod
    def plot(self, ax: Any = None) -> Any:
        """Draw the comparison.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """

    @abstractmethod
    def _subtitle(self) -> str:
        """Say what was compared, in one line of the page."""

    @abstractmethod
    def _sections(self) -> list[Section]:
        """Make the sections of the page."""

    def _remarks(self) -> list[str]:
        """Return lines that are printed between the table and the notes."""
        return []

    def to_html(self, path: str | Path) -> Path:
        """Write one page that stands alone: the verdict, figures and tables, with all pictures inside.

        Parameters
        ----------
        path : str or Path
            Where to write it. An older file of that name is replaced.

        Returns
        -------
        Path
            The path of the page.

        Raises
        ------
        ParameterError
            If it cannot be written.
        MissingDependencyError
            If Jinja or matplotlib is not installed (``pip install 'featx[report]'``).
        """
        import_optional("jinja2", extra="report", purpose="A page")
        return write_page(
            path,
            _TEMPLATE,
            title=self._title,
            subtitle=self._subtitle(),
            tone=_TONES[self.decision],
            sentences=self._sentences,
            notes=self.notes,
            rule=self._rule,
            sections=self._sections(),
        )
