"""AdaptationReport: what a comparison of adaptation methods found."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from featx._image_encoder import ImageEncoder
from featx.adapt._methods import SOURCE
from featx.adapt._plot import draw_methods, draw_views
from featx.adapt._routing import domain_routing
from featx.adapt._verdict import Outcomes, best_method, decide_methods, say, summary_table
from featx.exceptions import UnknownNameError
from featx.scores import ProxyADistance

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

_SHOWN = ["accuracy", "difference", "difference_low", "difference_high", "parameter", "unsupervised_score", "proxy_a"]


class AdaptationReport:
    """What each method gains on the target, and what that says; made by `adaptation_report`.

    Attributes
    ----------
    verdict : str
        Begins with ``"helps"``, ``"hurts"`` or ``"undecided"``; then the evidence. Adaptation helps if some method
        beats the source alone, by intervals that count the test images and the draws and are corrected for the number
        of methods (Bonferroni); it hurts if every method is worse. Without labels of the target it is undecided.
    summary : DataFrame
        A row a method, and ``oracle`` where the target has labels:

        - ``accuracy``, with ``low`` and ``high``, its 95 % interval: on target images that the tested fit has not seen
        - ``difference`` to the source alone, with ``difference_low`` and ``difference_high``: all methods' intervals
          together hold with 95 %
        - ``parameter``: as it was chosen, without labels of the target
        - ``unsupervised_score``: of that choice, larger is better
        - ``proxy_a``: the proxy A-distance of held-out rows after the method, 2 for domains that are told apart without
          a mistake; not comparable between numbers of columns
        - ``seconds``: of tuning, fits and tests

    proxy_a : ProxyADistance
        Before any method: distance and error on the same held-out rows as ``proxy_a`` in the summary, p_value of all
        rows.
    notes : list of str
        What was left out, and what no method can do.
    best : str
        What to take: the most accurate method, ``"source"`` where adaptation hurts, and, without labels of the target,
        what has the best unsupervised score, the source too.
    draws : int
    scorer : str
    """

    def __init__(
        self,
        outcomes: Outcomes,
        proxy_a: ProxyADistance,
        notes: list[str],
        draws: int,
        scorer: str,
        encoder: ImageEncoder | None = None,
    ):
        self.proxy_a, self.notes, self.draws, self.scorer = proxy_a, notes, draws, scorer
        self._encoder = encoder
        decision = decide_methods(outcomes)
        self.verdict, self.best = say(outcomes, decision), best_method(outcomes, decision)
        self._outcomes = {name: outcome for name, outcome in outcomes.items() if outcome.view is not None}
        self.summary: pd.DataFrame = summary_table(outcomes, decision)

    def __repr__(self) -> str:
        before = f"Proxy A-distance before: {self.proxy_a.distance:.2f} (p = {self.proxy_a.p_value:.3g})."
        table = self.summary[_SHOWN].round(3).to_string(na_rep="")
        return "\n".join([self.verdict, "", table, before, *self.notes])

    @cached_property
    def word(self) -> str:
        """The verdict's first word."""
        return self.verdict.partition(":")[0]

    def plot(self, ax: Any = None) -> Any:
        """Draw the methods' accuracies with their intervals; without labels of the target, the unsupervised scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return draw_methods(self.summary, ax)

    def plot_domains(self, method: str | None = None) -> Any:
        """Draw held-out rows of both domains in a plane, before adaptation and after: how far they lie apart.

        Parameters
        ----------
        method : str, default=None
            After which method; None is `best`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        UnknownNameError
            If the method was not compared.
        """
        method = self._check(method)
        views = {"before": SOURCE} | ({} if method == SOURCE else {f"after {method}": method})
        return draw_views({title: self._outcomes[name].view for title, name in views.items()})

    def pipeline(self, method: str | None = None) -> Pipeline:
        """The pipeline that was compared, to be fitted on both domains; with its encoder, where there were images.

        Parameters
        ----------
        method : str, default=None
            None is `best`.

        Returns
        -------
        sklearn.pipeline.Pipeline
            One of skada's, not fitted; `adaptation_report` says how it is, with metadata routing switched on. Keep a
            fitted one with ``joblib.dump``: `featx.save` cannot hold it.

        Raises
        ------
        UnknownNameError
            If the method was not compared.
        """
        adapted = self._outcomes[self._check(method)].pipeline
        with domain_routing() as skada:
            first = [] if self._encoder is None else [clone(self._encoder)]
            return skada.make_da_pipeline(*first, clone(adapted))

    def _check(self, method: str | None) -> str:
        method = self.best if method is None else method
        if method not in self._outcomes:
            raise UnknownNameError("method", method, self._outcomes)
        return method

    def to_html(self, path: str | Path) -> Path:
        """Write one page that stands alone: verdict, accuracies, methods, both domains before and after.

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
        from featx.adapt._page import write_report

        return write_report(self, path)
