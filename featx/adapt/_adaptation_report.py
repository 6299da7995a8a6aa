"""adaptation_report: whether domain adaptation helps from a labeled source to an unlabeled target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from featx._image_encoder import ImageEncoder
from featx._optional import import_optional
from featx._precompute import as_image_encoder
from featx._validate import is_integer
from featx.adapt._domains import Domains, count_rows, is_table, read_domains
from featx.adapt._evaluate import (
    Split,
    check_scorer,
    compare_methods,
    keep_domain_rows,
    measure_gap,
    split_domains,
    tested_splits,
)
from featx.adapt._methods import METHODS, ORACLE, SOURCE, check_methods, domain_routing
from featx.adapt._tables import (
    Outcomes,
    best_method,
    decide_methods,
    draw_methods,
    draw_views,
    page_table,
    summary_table,
    write_verdict,
)
from featx.auditing import warn_of_copies
from featx.compare import UNDECIDED, HeldOut, Report, Section, check_cv
from featx.encoders import Encoder
from featx.evaluation import has_rare_numbers
from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.extraction import progress_bar
from featx.pages import figure
from featx.scores import ProxyADistance

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_SEEDS = 2**32


class AdaptationReport(Report):
    """What each method gains on the target, and what follows from it; made by `adaptation_report`.

    Attributes
    ----------
    decision : {"helps", "hurts", "undecided"}
        Adaptation helps if some method beats the source alone, by intervals that count the test images and the folds
        and are corrected for the number of methods (Bonferroni); it hurts if every method is worse. Without labels of
        the target it is undecided.
    verdict : str
        The decision and its evidence in a few sentences.
    summary : DataFrame
        One row for each method, and ``oracle`` where the target has labels:

        - ``accuracy``, with ``low`` and ``high``, its 95 % interval: on target images that the tested fit has not seen
        - ``difference`` to the source alone, with ``difference_low`` and ``difference_high``: all methods' intervals
          together hold with 95 %
        - ``parameter``: as it was chosen, without labels of the target
        - ``unsupervised_score``: of that choice, larger is better
        - ``proxy_a``: the proxy A-distance of held-out rows after the method, 2 for domains that are distinguished
          without a mistake; not comparable between numbers of columns
        - ``seconds``: of tuning, fits and tests

    proxy_a : ProxyADistance
        Before any method: distance and error on the same held-out rows as ``proxy_a`` in the summary, p_value of all
        rows.
    notes : list of str
        What was left out, and what no method can do.
    best : str
        What to use: the most accurate method, ``"source"`` where adaptation hurts, and, without labels of the target,
        what has the best unsupervised score, the source too.
    n_folds : int
        Number of folds.
    scorer : str
        What tuned the methods.
    """

    _title = "Does domain adaptation help?"
    _rule = (
        "Adaptation helps if some method beats the source alone, by intervals that count the test images and the folds "
        "(Nadeau & Bengio 2003) and are corrected for the number of methods; it hurts if every method is worse. "
        "Otherwise it is undecided, which does not prove equality."
    )
    _shown = (
        *("accuracy", "difference", "difference_low", "difference_high"),
        *("parameter", "unsupervised_score", "proxy_a"),
    )

    def __init__(
        self,
        outcomes: Outcomes,
        held_out: HeldOut,
        proxy_a: ProxyADistance,
        notes: list[str],
        scorer: str,
        encoder: ImageEncoder | None = None,
    ) -> None:
        decision = decide_methods(outcomes, held_out)
        super().__init__(
            UNDECIDED if decision is None else decision.decision,
            write_verdict(outcomes, decision),
            summary_table(outcomes, decision, held_out),
            notes,
            n_folds=len(held_out.units),
        )
        self.proxy_a, self.scorer, self.best = proxy_a, scorer, best_method(outcomes, decision)
        self._encoder = encoder
        self._views = {name: outcome.view for name, outcome in outcomes.items() if outcome.view is not None}
        self._pipelines = {name: outcomes[name].pipeline for name in self._views}

    def plot(self, ax: Any = None) -> Any:
        """Draw the methods' accuracies with their intervals; without labels of the target, the unsupervised scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

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
        views = {"before": self._views[SOURCE]}
        if method != SOURCE:
            views[f"after {method}"] = self._views[method]
        return draw_views(views)

    def pipeline(self, method: str | None = None) -> Pipeline:
        """Make the pipeline that was compared, to be fitted on both domains; with its encoder, where there were images.

        Parameters
        ----------
        method : str, default=None
            None is `best`.

        Returns
        -------
        sklearn.pipeline.Pipeline
            A pipeline of skada, not fitted; `adaptation_report` shows how to fit it, with metadata routing switched on.
            Keep a fitted one with ``joblib.dump``: `featx.save` cannot hold it.

        Raises
        ------
        UnknownNameError
            If the method was not compared.
        """
        adapted = self._pipelines[self._check(method)]
        with domain_routing() as skada:
            first = [] if self._encoder is None else [clone(self._encoder)]
            return skada.make_da_pipeline(*first, clone(adapted))

    def _check(self, method: str | None) -> str:
        method = self.best if method is None else method
        if method not in self._views:
            raise UnknownNameError("method", method, self._views)
        return method

    def _remarks(self) -> list[str]:
        return [f"Proxy A-distance before: {self.proxy_a.distance:.2f} (p = {self.proxy_a.p_value:.3g})."]

    def _subtitle(self) -> str:
        return f"{self.n_folds} folds, tuned by the scorer {self.scorer}, without labels of the target"

    def _sections(self) -> list[Section]:
        table = page_table(self.summary, self.best)
        gain = (
            "Accuracy on target images that the tested fit has not seen. Gain: in points, over the source alone; all "
            "methods' intervals together hold with 95 %. "
        )
        chosen = "Chosen: the parameter with the best unsupervised score. "
        remark = (
            f"{gain if 'gain' in table.columns else ''}{chosen if 'chosen' in table.columns else ''}Score: "
            "unsupervised, larger is better. Proxy A: how well a linear classifier distinguishes held-out rows of the "
            "domains after the method, 2 without a mistake, 0 not at all; not comparable between methods of different "
            "numbers of columns."
        )
        after = "" if self.best == SOURCE else f", before and after {self.best}"
        text = (
            "Held-out rows in the plane of their two largest principal components. Before any method, a linear "
            f"classifier distinguishes them with a proxy A-distance of {self.proxy_a.distance:.2f} (p = "
            f"{self.proxy_a.p_value:.2g}, of all rows)."
        )
        return [
            Section("methods", "Methods", figure=figure(self.plot().figure), table=table, remarks=[remark]),
            Section("domains", f"The domains{after}", text, figure=figure(self.plot_domains())),
        ]


def adaptation_report(
    X_source: Any,
    y_source: Any,
    X_target: Any,
    y_target: Any = None,
    methods: str | Sequence[str] = tuple(METHODS),
    *,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    scorer: Any = "circular",
    cv: Any = 5,
    random_state: int | None = 0,
    verbose: int = 1,
) -> AdaptationReport:
    """Compare domain adaptation methods on embeddings, from a labeled source to a target without labels.

    Parameters
    ----------
    X_source, X_target : container of images, or float array or frame of shape (n, dim)
        Source and target, as for `ImageEncoder`, or embeddings of one encoder. Columns of two frames are compared by
        their names. Images that cannot be read and rows that are not finite are left out.
    y_source : array of shape (n,)
        Classes of the source. Numbers to predict are refused: none of the methods is for them.
    y_target : array of shape (m,), default=None
        Classes of the target. They measure accuracy, and train the oracle; no method sees them. None leaves the gain
        unknown.
    methods : sequence of {"source", "standardize", "coral", "subspace", "ot", "dann", "deepcoral"}
        All by default; the source alone is always compared. See the notes.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        The pretrained encoder, for images.
    scorer : {"circular", "importance", "entropy", "neighborhood", "mixval"} or scorer of skada, default="circular"
        What tunes a method's parameter, without labels of the target.
    cv : int, splitter or iterable of (train, test), default=5
        An int, 3 or more, is that many random splits of source and target, each shuffled, as scikit-learn's
        ``StratifiedKFold`` with ``shuffle=True`` (``KFold`` for the target): each target image is tested once, by
        methods that saw the other images of the target, unlabeled, and the other folds of the source. A scikit-learn
        splitter, such as ``ShuffleSplit(10)``, divides each domain by itself, the target without its labels. Arrays of
        an iterable are positions in the source followed by the target, as skada's splitters give them.
    random_state : int or None, default=0
        Seed of the folds and of the methods; None draws a new one each time.
    verbose : int, default=1
        1 shows a progress bar on a terminal or in a notebook; 0 does not.

    Returns
    -------
    AdaptationReport

    Raises
    ------
    InputError
        If one domain has images and the other embeddings, lengths or columns differ, there is one class, the domains
        share none, rows are too few, or all of a domain's are the same; if y_source holds numbers to predict.
    ParameterError
        If a method, the scorer, cv or random_state is not accepted.
    MissingDependencyError
        If skada is not installed (``pip install 'featx[adapt]'``).

    Notes
    -----
    Every method standardizes columns and clips them at 5 standard deviations: a column that hardly varies in the source
    would put images of the target far out, and make the source alone look worse. Every method but the last two ends in
    the same logistic regression, whose strength is chosen once, on the source:

    - ``"source"``: trained on the source alone
    - ``"standardize"``: each domain is standardized by itself
    - ``"coral"``: covariances aligned (Sun et al. 2017, arXiv:1612.01939) in at most 256 principal
      components
    - ``"subspace"``: principal components aligned (Fernando et al. 2013, ICCV)
    - ``"ot"``: the source mapped by optimal transport (Courty et al. 2017, TPAMI 39)
    - ``"dann"``, ``"deepcoral"``: a hidden layer of 64 on the embeddings, trained so that a second network cannot
      distinguish the domains, or so that covariances agree (Ganin et al. 2016, JMLR 17; Sun & Saenko 2016,
      arXiv:1607.01719)

    A parameter is tuned once, among three or four values, in two halves of the first fold's rows that adapt; the
    intervals do not include tuning variance. The default scorer, circular validation, retrains a method from the
    target's predicted labels back to the source, whose labels are known (Bruzzone & Marconcini 2010, TPAMI 32). In the
    tables of skada-bench it is among the scorers that choose best for 13 of 19 shallow methods on Office-31, and many
    methods do no better than the source alone (Lalou et al. 2024, arXiv:2407.11676).

    Methods other than ``"source"`` expect the same classes in both domains, in like shares.

    The pipeline of a method that helps is skada's. ``sample_domain`` is positive for rows of the source, negative for
    the target, which new rows belong to by default. Classes are whole numbers from 0, and -1 for the target;
    ``np.unique`` makes such numbers of names, and gives the names back::

        sklearn.set_config(enable_metadata_routing=True)
        model = report.pipeline()
        names, codes = np.unique(y_source, return_inverse=True)
        domain = np.repeat([1, -1], [len(X_source), len(X_target)])
        y = np.concatenate([codes, np.full(len(X_target), -1)])
        model.fit([*X_source, *X_target], y, sample_domain=domain)
        labels = names[model.predict(new)]

    featx leaves metadata routing as it was, so switch it on as above; otherwise `fit` raises that a Pipeline does not
    accept ``sample_domain``. (``import skada`` switches it on, but only the first time.) Your pipelines may begin with
    an `ImageEncoder` in the same way, ``skada.make_da_pipeline(featx.ImageEncoder(), StandardScaler(),
    skada.CORALAdapter(), LogisticRegression())``.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.adapt import adaptation_report
    >>> rng = np.random.default_rng(0)
    >>> y_source, y_target = np.arange(90) % 3, np.arange(60) % 3
    >>> X_source = rng.normal(size=(90, 8)) + 3 * np.eye(8)[y_source]
    >>> X_target = rng.normal(size=(60, 8)) + 3 * np.eye(8)[y_target] + 4 * np.eye(8)[0]
    >>> report = adaptation_report(X_source, y_source, X_target, y_target, methods=["standardize"], verbose=0)
    >>> report.decision, list(report.summary.index)
    ('helps', ['source', 'standardize', 'oracle'])
    """
    methods, scorer, seed, cv = check_methods(methods), check_scorer(scorer), check_seed(random_state), check_cv(cv)
    _check_labels(y_source, cv)
    with domain_routing():
        for name in {"dann", "deepcoral"} & set(methods):
            import_optional("skorch", extra="adapt", purpose=f"The method {name!r}")
    embedder = clone(as_image_encoder(encoder)).set_params(verbose=verbose)
    domains, source_rows, target_rows = read_domains(X_source, y_source, X_target, y_target, embedder)
    cv = keep_domain_rows(cv, source_rows, target_rows, count_rows(X_source), count_rows(X_target))
    splits = split_domains(domains, cv, seed)
    copies = [] if y_target is None or is_table(X_source) else _warn_of_copies(domains, splits)
    before = measure_gap(domains, splits, seed)
    total = len(methods) * len(tested_splits(domains, splits))
    with progress_bar(total, description="methods", verbose=verbose, unit="fit") as bar:
        outcomes = compare_methods(domains, methods, splits, scorer, seed, bar.update)
    notes = list(domains.notes) + copies
    if y_target is not None and ORACLE not in outcomes:
        notes.append("The oracle is left out: a fold's target rows have labels of one class.")
    name = scorer if isinstance(scorer, str) else type(scorer).__name__
    held_out = HeldOut.of([split.target for split in splits])
    return AdaptationReport(outcomes, held_out, before, notes, name, None if is_table(X_source) else embedder)


def check_seed(random_state: Any) -> int:
    """Check a seed, or draw one.

    Raises
    ------
    ParameterError
        If it is neither a whole number from 0 to 2**32 - 1 nor None.

    Examples
    --------
    >>> from featx.adapt._adaptation_report import check_seed
    >>> check_seed(7)
    7
    """
    if random_state is None:
        return int(np.random.default_rng().integers(_SEEDS))
    if not is_integer(random_state) or not 0 <= random_state < _SEEDS:
        raise ParameterError(f"Got random_state={random_state!r}. Expected a whole number, 0 to 2**32 - 1, or None.")
    return int(random_state)


def _check_labels(y_source: Any, cv: Any) -> None:
    n_folds = cv if is_integer(cv) else len(cv) if isinstance(cv, list) else 5
    if has_rare_numbers(y_source, n_folds):
        raise InputError(
            f"Got y_source with whole numbers, most of which occur in fewer than {n_folds} rows. Expected classes, "
            f"each of {n_folds} rows or more: none of the methods is for numbers to predict."
        )


def _warn_of_copies(domains: Domains, splits: list[Split]) -> list[str]:
    """Warn of target images that are tested after a copy was seen, in the source with its label perhaps."""
    n = len(domains.Zs)
    folds: list[tuple[np.ndarray, np.ndarray]] = [
        (np.concatenate([split.source.train, n + split.target.train]), n + split.target.test) for split in splits
    ]
    advice = "Leave copies out with featx.audit([*X_source, *X_target]).clean()."
    text = warn_of_copies(np.concatenate([domains.Zs, domains.Zt]), folds, advice=advice)
    return [text] if text else []
