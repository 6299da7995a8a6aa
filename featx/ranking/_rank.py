"""rank_encoders: candidates compared on the user's problem, best first, with their cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import weightedtau

from featx.evaluation import ScoreUnit, fold_interval
from featx.exceptions import ParameterError
from featx.images import as_column
from featx.ranking._candidates import Clock, cross, distinct, find_networks, in_precisions, size_of
from featx.ranking._problem import PROBE, RankingProblem, check_scores
from featx.ranking._race import Budget, Entry, Race


def rank_encoders(
    X: Any,
    y: Any,
    encoders: Any = "installed",
    *,
    layers: str | Sequence[str] | None = None,
    pooling: str | Sequence[str] = "avg",
    precisions: str | Sequence[str] | None = None,
    scores: str | Sequence[str] = ("knn", "logme", "hscore", "probe"),
    scoring: Any = None,
    groups: Any = None,
    cv: Any = 5,
    estimator: Any = None,
    task: str = "auto",
    budget: Any = None,
) -> pd.DataFrame:
    """Compare encoders, layers, poolings and precisions on a task: a table, best first, with what each costs.

    Each image is decoded and encoded once for all layers and poolings of an encoder, and the embeddings are kept: a
    second ranking reads them from the store.

    Parameters
    ----------
    X : container of images
        n images, as for `ImageEncoder`, or a frame if `estimator` picks the column of images from it.
    y : array of shape (n,)
        Classes, or numbers to predict.
    encoders : "installed", or sequence of str, Encoder or ImageEncoder, default="installed"
        ``"installed"`` stands for all encoders of `list_encoders` whose weights are on this machine. The parameters of
        an ImageEncoder are used.
    layers : str or sequence of str, default=None
        ``"feature"``, ``"early"``, ``"middle"``, ``"late"``, ``"last"``, or nodes of `list_layers`. None uses the
        layers of each encoder, by default its feature.
    pooling : str or sequence of str, default="avg"
        Each layer is pooled in each of these ways: ``"avg"``, ``"max"``, ``"gem"``, ``"flatten"``.
    precisions : str or sequence of str, default=None
        Each encoder is tried in each of these: ``"float32"``, ``"tf32"``, ``"bfloat16"``, ``"float16"``, ``"int8"``,
        which is calibrated on some of `X` and has the feature alone. What does not run on this machine is left out, and
        a warning reports that. None uses the precision of each encoder.
    scores : str or sequence of str, default=("knn", "logme", "hscore", "probe")
        The scores to compute, also ``"lda"``, ``"leep"`` and ``"nce"``; see `featx.transfer`. ``"probe"`` is the
        cross-validated score of `estimator`, by which candidates are ordered. Without it the first score orders them.
        For numbers to predict only ``"logme"`` and ``"probe"`` are computed.
    scoring : str or callable, default=None
        Score of the probe, as for `cross_val_score`. Differences are reported in points (hundredths) if the best score
        is 1, otherwise in the unit of the score.
    groups : array of shape (n,), default=None
        Images of one group are in one fold. ``"knn"`` and ``"lda"``, which test each image on all others, leave out its
        group. Without groups, a warning reports images of equal content in several folds; `featx.audit` also finds near
        copies.
    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds, which are stratified and shuffled with a fixed seed.
    estimator : estimator, default=None
        The estimator of the probe: of embeddings, or a pipeline with an `ImageEncoder` inside, which each candidate
        replaces. None is a scaler and logistic regression, or ridge for numbers.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds. With ``"auto"``, an `estimator` that is a classifier or a regressor decides. Without one, text,
        bools and categories are classes, and numbers with fractions are numbers to predict. So are whole numbers if
        most of them occur in fewer rows than there are folds, and a warning reports that.
    budget : str or number of seconds, default=None
        With a budget such as ``"10min"``, candidates are compared on an eighth of the images, then on a quarter, a half
        and all. After each round those that cannot win are dropped (the interval of their distance to the best excludes
        zero), and also the worse half if time is short.

    Returns
    -------
    DataFrame
        One row per candidate, best first:

        - ``name``: distinct from all others; it includes the parameters of `ImageEncoder` in which candidates differ
        - ``encoder``, ``weights``, ``precision``, ``layer``, ``pooling``
        - the scores; ``probe``, and ``probe_low`` to ``probe_high``, its 95 % interval (Student's t over folds,
          corrected for their overlap: Nadeau & Bengio 2003)
        - ``top1``: ImageNet top-1 accuracy in percent, a score that needs no data
        - ``dim``; ``images_per_second`` of decoding and encoding, measured on some of the images; ``seconds`` for all
          of X without a store
        - ``memory_mb``: weights, and the two largest maps of an image; ``bundle_mb``: weights up to the layer
        - ``license``; ``download``: whether the weights had to be downloaded
        - ``frontier``: whether each candidate that is as fast or faster has a lower score
        - ``images``: how many images it was scored on, fewer than all if it was dropped

        ``table.attrs["sentence"]`` reports what the best candidate gains for its time. ``table.attrs["agreement"]``
        reports how similarly each other score, and ``top1``, orders the candidates (weighted Kendall tau).

    Raises
    ------
    UnknownNameError
        If there is no such score, encoder, layer, pooling, precision or task.
    InputError
        If labels are missing, there is one class, or a class has fewer images than there are folds.
    ImageReadError
        If images are unusable. With ``ImageEncoder(on_error="nan")`` they are left out, and a warning reports that.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_digits
    >>> images, y = load_digits(return_X_y=True)
    >>> images = list((images[:60].reshape(-1, 8, 8) * 15.9).astype("uint8"))
    >>> table = featx.rank_encoders(images, y[:60], ["efficientnet_lite0"], layers=["feature", "early"], cv=3)
    >>> table[["layer", "probe", "images_per_second"]]  # doctest: +SKIP
         layer     probe  images_per_second
    0  feature  0.766667              101.2
    1    early  0.716667              390.4
    """
    limit = Budget(budget)
    problem = RankingProblem(X, y, estimator, scoring, task, cv)
    names = check_scores(scores, problem.regression)
    race = Race(problem, names, groups, cv)
    layers = None if layers is None else _as_names("layers", layers)
    poolings = _as_names("pooling", pooling)
    precisions = None if precisions is None else _as_names("precisions", precisions)
    networks = in_precisions(find_networks(encoders), precisions, layers, problem.images)
    candidates = [candidate for network in networks for candidate in cross(network, layers, poolings)]
    race.run(distinct(candidates), limit)
    return _make_table(race, PROBE if PROBE in names else names[0])


def _as_names(parameter: str, names: str | Sequence[str]) -> list[str]:
    several = [names] if isinstance(names, str) else list(names)
    if not several:
        raise ParameterError(f"Got {parameter}={names!r}. Expected at least one name.")
    return several


def _make_table(race: Race, reference: str) -> pd.DataFrame:
    """Make the table, with the frontier, the agreement of scores, and the sentence."""
    clock = Clock(race.problem.images)
    rates = {id(entry): clock.images_per_second(entry.candidate) for entry in race.entries}
    # Candidates that were dropped later come first.
    order = sorted(race.entries, key=lambda entry: (-entry.n_images, -_rank_value(entry.scores[reference])))
    table = pd.DataFrame([_row(entry, race, rates[id(entry)]) for entry in order])
    finished = table["images"] == table["images"].max()
    score = table[reference].where(finished).to_numpy(float)
    table.insert(len(table.columns) - 1, "frontier", on_frontier(score, table["images_per_second"].to_numpy()))
    finalists = [entry for entry, done in zip(order, finished, strict=True) if done]
    labels = [entry.name for entry in finalists]
    cheap = [name for name in (*race.scores, "top1") if name != reference]
    table.attrs["agreement"] = agreement(table[finished], cheap, reference)
    if reference == PROBE:
        rates_of_finalists = table.loc[finished, "images_per_second"].to_numpy()
        folds = [entry.folds for entry in finalists]
        table.attrs["sentence"] = summarize(labels, folds, rates_of_finalists, race.test_share, race.problem.unit)
    else:
        table.attrs["sentence"] = f"{labels[0]}: the best by {reference}, which does not measure accuracy"
    return table


def _row(entry: Entry, race: Race, rate: float) -> dict[str, Any]:
    candidate, network = entry.candidate, entry.candidate.network
    low, high = fold_interval(entry.folds, race.test_share)
    probe = {f"{PROBE}_low": low, f"{PROBE}_high": high} if PROBE in race.scores else {}
    size = size_of(candidate)
    return {
        "name": entry.name,
        "encoder": network.name,
        "weights": network.weights,
        "precision": network.precision,
        "layer": candidate.layer,
        "pooling": candidate.pooling or "",
        **{name: entry.scores[name] for name in race.scores},
        **probe,
        "top1": network.top1,
        "dim": entry.dim,
        "images_per_second": rate,
        "seconds": len(as_column(race.problem.images)) / rate if rate else float("nan"),
        "memory_mb": size.memory_mb,
        "bundle_mb": size.bundle_mb,
        "license": network.license,
        "download": network.download,
        "images": entry.n_images,
    }


def _rank_value(score: float) -> float:
    return -np.inf if np.isnan(score) else score


def on_frontier(score: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Mark the candidates on the Pareto frontier: no other is as good and faster, or better and as fast.

    Parameters
    ----------
    score, rate : ndarray of shape (n,)
        Higher is better; candidates with NaN are never marked.

    Returns
    -------
    ndarray of shape (n,), bool
    """
    beaten = np.array(
        [((score >= s) & (rate >= r) & ((score > s) | (rate > r))).any() for s, r in zip(score, rate, strict=True)]
    )
    return ~beaten & ~np.isnan(score) & ~np.isnan(rate)


def agreement(table: pd.DataFrame, scores: Sequence[str], reference: str) -> dict[str, float]:
    """Compute how similarly each score and the reference order the candidates: weighted Kendall tau.

    Differences at the top have the largest weight (Vigna 2015, arXiv:1404.3325). 1 is the same order, 0 is unrelated,
    -1 is the opposite order.

    Parameters
    ----------
    table : DataFrame
        One row per candidate.
    scores : sequence of str
        Columns.
    reference : str
        The column with the reference.

    Returns
    -------
    dict of str to float
        NaN if fewer than three candidates have both values, or all have the same value.
    """
    taus = {}
    for name in scores:
        both = table[[name, reference]].dropna()
        usable = len(both) > 2 and (both.nunique() > 1).all()
        taus[name] = float(weightedtau(both[name], both[reference]).statistic) if usable else float("nan")
    return taus


def summarize(
    labels: Sequence[str], folds: Sequence[np.ndarray], rates: np.ndarray, test_share: float, unit: ScoreUnit
) -> str:
    """Compare the best candidate with the best of the faster ones, in a sentence.

    Parameters
    ----------
    labels : sequence of str
        The candidates, best first.
    folds : sequence of ndarray of shape (n_folds,)
        Their scores on the same folds.
    rates : ndarray
        Images per second.
    test_share : float
        n_test / n_train of a fold.
    unit : ScoreUnit
        Unit of the scores.

    Returns
    -------
    str
        For instance ``"resnet50: +1.2 +- 0.9 points for 3.8x the time of resnet18"``.
    """
    best = f"{labels[0]}: {unit.name} {folds[0].mean():.3f}"
    faster = [i for i in range(1, len(labels)) if rates[i] > rates[0]]
    if not faster:
        others = len(labels) - 1
        return f"{best}, the best" + (
            f" and the fastest of {others + 1} candidates" if others else ", of one candidate"
        )
    i = faster[0]
    low, high = fold_interval(folds[0] - folds[i], test_share)
    gain, half = (low + high) / 2, (high - low) / 2
    doubt = " (within chance: take the faster)" if gain < half else ""
    return f"{labels[0]}: {unit.format(gain, half)} for {rates[i] / rates[0]:.1f}x the time of {labels[i]}{doubt}"
