"""adaptation_report: whether domain adaptation helps from a labelled source to an unlabelled target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from featx._optional import import_optional
from featx._precompute import as_image_encoder
from featx.adapt._domains import Domains, read_domains
from featx.adapt._evaluate import Split, compare_methods, measure_gap, split_domains, tested_splits
from featx.adapt._methods import METHODS, ORACLE, check_methods
from featx.adapt._result import AdaptationReport
from featx.adapt._routing import domain_routing
from featx.adapt._seed import check_seed
from featx.adapt._table import is_table
from featx.adapt._tuning import check_scorer
from featx.auditing import warn_of_copies
from featx.compare import check_draws
from featx.encoders import Encoder
from featx.evaluation import has_rare_numbers
from featx.exceptions import InputError
from featx.extraction import progress_bar

if TYPE_CHECKING:
    from featx._image_encoder import ImageEncoder


def adaptation_report(
    Xs: Any,
    ys: Any,
    Xt: Any,
    yt: Any = None,
    methods: str | Sequence[str] = tuple(METHODS),
    *,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    scorer: Any = "circular",
    draws: int = 5,
    random_state: int | None = 0,
    verbose: int = 1,
) -> AdaptationReport:
    """Compare domain adaptation methods on embeddings: the source has labels, the target none that a method may see.

    Parameters
    ----------
    Xs, Xt : container of images, or float array or frame of shape (n, dim)
        Source and target, as for `ImageEncoder`, or embeddings of one encoder. Columns of two frames are compared by
        their names. Images that cannot be read and rows that are not finite are left out.
    ys : array of shape (n,)
        Classes of the source. There is no `task`: no method is for numbers to predict, which are refused.
    yt : array of shape (m,), default=None
        Classes of the target. They judge, and train the oracle; no method sees them. None leaves the gain unknown.
    methods : sequence of {"source", "standardize", "coral", "subspace", "ot", "dann", "deepcoral"}
        All by default; the source alone is always there. See the notes.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
    scorer : {"circular", "importance", "entropy", "neighborhood", "mixval"} or scorer of skada's, default="circular"
        What tunes a method's parameter, without labels of the target.
    draws : int, default=5
        Folds, 3 or more, of source and target: each target image is tested once, by methods that saw other images
        of the target, unlabelled, and a part of the source.
    random_state : int or None, default=0
        Of the folds and of the methods; None draws another one each time.
    verbose : int, default=1
        1 shows a progress bar on a terminal or in a notebook; 0 does not.

    Returns
    -------
    AdaptationReport

    Raises
    ------
    InputError
        If one domain has images and the other embeddings, lengths or columns differ, there is one class, the domains
        share none, rows are too few, or all of a domain's are the same; if ys are numbers to predict, whole ones too.
    ParameterError
        If a method, the scorer, draws or random_state is not accepted.
    MissingDependencyError
        If skada is not installed (``pip install 'featx[adapt]'``).

    Notes
    -----
    Every method standardises columns and clips them at 5 standard deviations, without which the source alone does
    worse than it need: a column that hardly varies in it puts images of the target far out. Every method but the last
    two ends in the same logistic regression, whose strength is chosen once, on the source:

    - ``"source"``: trained on the source alone
    - ``"standardize"``: each domain is standardised by itself
    - ``"coral"``: covariances aligned (Sun et al. 2017, arXiv:1612.01939) in at most 256 principal
      components
    - ``"subspace"``: principal components aligned (Fernando et al. 2013, ICCV)
    - ``"ot"``: the source mapped by optimal transport (Courty et al. 2017, TPAMI 39)
    - ``"dann"``, ``"deepcoral"``: a hidden layer of 64 on the embeddings, trained so that a second network cannot tell
      the domains apart, or so that covariances agree (Ganin et al. 2016, JMLR 17; Sun & Saenko 2016,
      arXiv:1607.01719)

    A parameter is tuned once, among three or four values, in two halves of the first draw's rows that adapt; the
    intervals do not count the luck of that. The default scorer, circular validation, retrains a method from the
    target's predicted labels back to the source, whose labels are known (Bruzzone & Marconcini 2010, TPAMI 32). In the
    tables of skada-bench it is among the scorers that choose best for 13 of 19 shallow methods on Office-31, and many
    methods do no better than the source alone (Lalou et al. 2024, arXiv:2407.11676).

    Methods other than ``"source"`` expect the same classes in both domains, in like shares.

    The pipeline of a method that helps is skada's. ``sample_domain`` is positive for rows of the source, negative for
    the target, which new rows belong to where it is not said. Classes are whole numbers from 0, and -1 for the target;
    ``np.unique`` makes such numbers of names, and gives the names back::

        sklearn.set_config(enable_metadata_routing=True)
        model = report.pipeline()
        names, codes = np.unique(ys, return_inverse=True)
        domain = np.repeat([1, -1], [len(Xs), len(Xt)])
        model.fit([*Xs, *Xt], np.concatenate([codes, np.full(len(Xt), -1)]), sample_domain=domain)
        labels = names[model.predict(new)]

    featx leaves metadata routing as it was, so switch it on as above, or `fit` says that a Pipeline does not accept
    ``sample_domain``; ``import skada`` switches it on the first time alone. A pipeline of your own begins with an
    `ImageEncoder` in the same way, ``skada.make_da_pipeline(featx.ImageEncoder(), StandardScaler(),
    skada.CORALAdapter(), LogisticRegression())``.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.adapt import adaptation_report
    >>> rng = np.random.default_rng(0)
    >>> ys, yt = np.arange(90) % 3, np.arange(60) % 3
    >>> Xs = rng.normal(size=(90, 8)) + 3 * np.eye(8)[ys]
    >>> Xt = rng.normal(size=(60, 8)) + 3 * np.eye(8)[yt] + 4 * np.eye(8)[0]
    >>> report = adaptation_report(Xs, ys, Xt, yt, methods=["standardize"], verbose=0)
    >>> report.word, list(report.summary.index)
    ('helps', ['source', 'standardize', 'oracle'])
    """
    methods, scorer, seed = check_methods(methods), check_scorer(scorer), check_seed(random_state)
    check_draws(draws)
    if has_rare_numbers(ys, draws):
        raise InputError(
            f"Got ys with whole numbers, most of which occur in fewer than {draws} rows. Expected classes, each of "
            f"draws={draws} rows or more: no method here is for numbers to predict."
        )
    with domain_routing():
        for name in {"dann", "deepcoral"} & set(methods):
            import_optional("skorch", extra="adapt", purpose=f"The method {name!r}")
    encoder = clone(as_image_encoder(encoder)).set_params(verbose=verbose)
    domains = read_domains(Xs, ys, Xt, yt, encoder)
    splits = split_domains(domains, draws, seed)
    copies = [] if yt is None or is_table(Xs) else _warn_of_copies(domains, splits)
    before = measure_gap(domains, splits, seed)
    total = len(methods) * len(tested_splits(domains, splits))
    with progress_bar(total, description="methods", verbose=verbose, unit="fit") as bar:
        outcomes = compare_methods(domains, methods, splits, scorer, seed, bar.update)
    notes = list(domains.notes) + copies
    if yt is not None and ORACLE not in outcomes:
        notes.append("The oracle is left out: a draw's target rows have labels of one class.")
    name = scorer if isinstance(scorer, str) else type(scorer).__name__
    embedder = None if is_table(Xs) else encoder
    return AdaptationReport(outcomes, before, notes, draws, name, embedder)


def _warn_of_copies(domains: Domains, splits: list[Split]) -> list[str]:
    """Tell images of the target that are tested after a copy was seen, in the source with its label perhaps."""
    n = len(domains.Zs)
    folds = [(np.concatenate([split.source.train, n + split.target.train]), n + split.target.test) for split in splits]
    advice = "Leave copies out with featx.audit([*Xs, *Xt]).clean()."
    text = warn_of_copies(np.concatenate([domains.Zs, domains.Zt]), folds, stacklevel=3, advice=advice)
    return [text] if text else []
