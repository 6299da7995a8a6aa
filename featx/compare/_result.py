"""TransferReport: what a comparison found."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._image_encoder import ImageEncoder
from featx.compare._arms import PRETRAINED
from featx.compare._draws import Draw
from featx.compare._learn import Question
from featx.compare._plot import draw_curves
from featx.compare._tables import (
    Outcomes,
    curve_table,
    decide_outcomes,
    efficiency_table,
    interval_table,
    say,
    summary_table,
)
from featx.evaluation import unit_of
from featx.images import ImageColumn

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = ["score", "low", "high", "difference", "difference_low", "difference_high", "label_efficiency", "seconds"]


class TransferReport:
    """Learning curves of all arms, and what they say; made by `transfer_report`.

    Attributes
    ----------
    verdict : str
        Begins with ``"helps"``, ``"hurts"`` or ``"undecided"``; then the evidence. It helps if the pretrained arm beats
        every other one at the largest size, it hurts if some arm beats it; by 95 % intervals that count the test images
        and the draws of training images (Nadeau & Bengio 2003).
    summary : DataFrame
        A row an arm at the largest size: score, low, high; the pretrained arm's difference to it and the share of its
        errors that transfer saves, with their intervals; label_efficiency (``"820 for 126"``: labels that the arm needs
        for what the pretrained arm does with 126); seconds.
    curves : DataFrame
        Columns arm, size, draw, score.
    intervals : DataFrame
        Columns arm, size, score, low, high.
    label_efficiency : DataFrame
        Labels that each arm needs for what the pretrained one does with n; inf where it does not get there.
    predictions : DataFrame
        A row an image: truth, draw, each arm's prediction at the largest size, and the pretrained arm's confidence.
    notes : list of str
        What was left out, and copies on both sides of a fold.
    scoring : str
        The score's name.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        seconds: dict[str, float],
        question: Question,
        draws: list[Draw],
        images: ImageColumn,
        embeddings: np.ndarray,
        notes: list[str],
        head: str,
        encoder: ImageEncoder,
    ):
        self.notes, self.head, self.regression = notes, head, question.regression
        self.unit = unit_of(question.scoring, question.regression)
        self.scoring = self.unit.name
        self.draws = len(draws)
        self._images, self._embeddings, self._groups, self._encoder = images, embeddings, question.groups, encoder
        decision = decide_outcomes(outcomes)
        self.verdict = say(outcomes, decision, self.unit)
        self.summary = summary_table(outcomes, decision, seconds, errors=question.scoring is None)
        self.curves = curve_table(outcomes)
        self.intervals = interval_table(outcomes, capped=self.unit.is_share)
        self.label_efficiency = efficiency_table(outcomes)
        self.predictions = _predictions(outcomes, question, draws, images)

    def __repr__(self) -> str:
        table = self.summary[[name for name in _SHOWN if name in self.summary]]
        return "\n".join([self.verdict, "", table.round(3).to_string(na_rep=""), *self.notes])

    @cached_property
    def word(self) -> str:
        """The verdict's first word."""
        return self.verdict.partition(":")[0]

    def name_of(self, row: int) -> str:
        """Name an image: its file, or its label in X."""
        source = self._images.sources[row]
        return Path(source).name if isinstance(source, str | Path) else f"image {self._images.label(row)}"

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curves with their intervals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return draw_curves(self.intervals, self.unit.name + self.unit.sense, ax)

    def to_html(self, path: str | Path) -> Path:
        """Write one page that stands alone: verdict, curves, arms, map, mistakes, likely wrong labels and copies.

        Parameters
        ----------
        path : str or Path
            An older file of that name is replaced.

        Returns
        -------
        Path

        Raises
        ------
        ParameterError
            If it cannot be written.
        MissingDependencyError
            If Jinja or matplotlib is not installed (``pip install 'featx[report]'``).
        """
        from featx.compare._page import write_report

        return write_report(self, path)


def _predictions(outcomes: Outcomes, question: Question, draws: list[Draw], images: ImageColumn) -> pd.DataFrame:
    import pandas as pd

    largest = max(size for _, size in outcomes)
    order = np.concatenate([draw.test for draw in draws])
    columns = {"truth": list(question.y[order]), "draw": np.repeat(range(len(draws)), [len(d.test) for d in draws])}
    for (arm, size), outcome in outcomes.items():
        if size == largest:
            columns[arm] = list(np.concatenate(outcome.predicted))
    columns["confidence"] = np.concatenate(outcomes[PRETRAINED, largest].confidence)
    index = pd.Index([images.index[i] for i in order], name="image")
    return pd.DataFrame(columns, index=index).iloc[np.argsort(order, kind="stable")]
