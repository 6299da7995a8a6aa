"""compare_columns: what a photo is worth beside a table's other columns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from featx._optional import import_optional
from featx._precompute import as_image_encoder
from featx._validate import check_integer
from featx.compare._decision import (
    HELPS,
    HURTS,
    Decision,
    Difference,
    HeldOut,
    decide,
    paired_gain,
    sample_interval,
)
from featx.compare._features import BOTH, TABLE
from featx.compare._folds import Fold, check_cv, fix_cv, nested_folds
from featx.compare._learn import Outcome, Problem, examine, fit_quietly
from featx.compare._report import Report, Section, Table
from featx.encoders import Encoder
from featx.evaluation import ScoreUnit, as_array, check_is_no_name, check_y, is_regression, unit_of
from featx.exceptions import InputError
from featx.extraction import progress_bar
from featx.heads import LogisticRegression
from featx.images import columns_of
from featx.pages import figure
from featx.table import tabular_pipeline, vectorizer

if TYPE_CHECKING:
    import pandas as pd

    from featx._image_encoder import ImageEncoder

IMAGE, AWARE = "image only", "both, target-aware"


class ColumnReport(Report):
    """What a photo is worth beside a table's other columns; made by `compare_columns`.

    Attributes
    ----------
    decision : {"helps", "hurts", "undecided"}
        Whether the photo helps: both together against the table alone, by the 95 % interval of the paired difference.
    verdict : str
        The decision and its evidence in a few sentences.
    summary : DataFrame
        One row for each set of columns: score, low, high (its 95 % interval), seconds.
    differences : DataFrame
        One row for each pair, ``"both - table only"``, ...: difference, low, high, on the same test rows.
    importance : DataFrame
        One row for each column of the table, images among them, the most important first: drop (what the score of
        ``"both"`` loses when the column's values are permuted among the test rows), low, high.
    notes : list of str
        What the reader must know of the data.
    scoring : str
        The name of the score.
    n_folds : int
        Number of folds.
    """

    _title = "What is the photo worth?"
    _rule = (
        "The photo helps if both together beat the other columns alone, and hurts if they are worse, by the 95 % "
        "interval of the difference on the same test rows, which counts both the test rows (whole groups, where there "
        "are groups) and the choice of training rows (Nadeau & Bengio 2003). Otherwise it is undecided, which does not "
        "prove equality."
    )
    _shown = ("score", "low", "high", "seconds")

    def __init__(
        self,
        outcomes: Mapping[str, Outcome],
        drops: Mapping[str, Sequence[np.ndarray]],
        held_out: HeldOut,
        seconds: Mapping[str, float],
        unit: ScoreUnit,
        notes: list[str],
        subtitle: str,
    ) -> None:
        self.unit, self.scoring, self._about = unit, unit.name, subtitle
        gain = paired_gain(outcomes[BOTH].sample_scores, outcomes[TABLE].sample_scores)
        decision = decide({TABLE: gain}, held_out, helps_if="all")
        summary = _frame(
            {name: sample_interval(one.sample_scores, held_out) for name, one in outcomes.items()}, "score"
        )
        summary["seconds"] = [seconds[name] for name in summary.index]
        sentences = _write_verdict(decision, {name: row["score"] for name, row in summary.iterrows()}, unit)
        super().__init__(decision.decision, sentences, summary, notes, n_folds=len(held_out.units))
        self.differences = _frame(
            {
                f"{first} - {second}": sample_interval(
                    paired_gain(outcomes[first].sample_scores, outcomes[second].sample_scores), held_out
                )
                for first, second in [(BOTH, TABLE), (BOTH, IMAGE), *([(AWARE, BOTH)] if AWARE in outcomes else [])]
            },
            "difference",
        )
        importance = _frame({name: sample_interval(drop, held_out) for name, drop in drops.items()}, "drop")
        self.importance = importance.rename_axis("column").sort_values("drop", ascending=False, kind="stable")

    def plot(self, ax: Any = None) -> Any:
        """Draw what each column is worth, with its interval.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        import_optional("matplotlib", extra="report", purpose="A plot")
        from matplotlib.figure import Figure

        table = self.importance[::-1]
        ax = Figure(figsize=(7.5, 1 + 0.3 * len(table))).add_subplot() if ax is None else ax
        ends = np.abs(table[["low", "high"]].to_numpy().T - table["drop"].to_numpy())
        ax.errorbar(table["drop"], range(len(table)), xerr=ends, fmt="o", color="#1c1c1a", ms=5)
        ax.axvline(0, color="#999999", lw=1)
        ax.set_yticks(range(len(table)), list(map(str, table.index)))
        ax.set_xlabel(f"what {self.scoring} loses when the column is permuted")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def _remarks(self) -> list[str]:
        tables = [self.differences, self.importance]
        return [text for table in tables for text in ("", table.round(3).to_string())]

    def _subtitle(self) -> str:
        return self._about

    def _sections(self) -> list[Section]:
        scores = [[str(name), *_figures(row)] for name, row in self.summary.iterrows()]
        pairs = [[str(name), *_figures(row)] for name, row in self.differences.iterrows()]
        text = (
            f"What {self.scoring} loses when one column's values are permuted among the test rows, the others kept: of "
            "two columns that say the same, each seems worth little."
        )
        return [
            Section("sets", "Sets of columns", table=Table(["columns", self.scoring, "95 % interval"], scores)),
            Section("pairs", "Differences", table=Table(["", "difference", "95 % interval"], pairs)),
            Section("importance", "What each column is worth", text, figure=figure(self.plot().figure)),
        ]


def compare_columns(
    X: Any,
    y: Any,
    *,
    image: str | Sequence[str],
    estimator: BaseEstimator | None = None,
    groups: Any = None,
    cv: Any = 5,
    task: str = "auto",
    target: str = "identity",
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    target_aware: Any = None,
    scoring: Any = None,
    n_repeats: int = 5,
    random_state: int = 0,
    verbose: int = 1,
) -> ColumnReport:
    """Compare a table with and without its images, on the same folds, and find what each column is worth.

    Parameters
    ----------
    X : DataFrame
        n rows; pandas or polars.
    y : array of shape (n,)
        Classes, or numbers to predict.
    image : str or list of str
        The columns of images.
    estimator : estimator, default=None
        As for `tabular_pipeline`, which puts it behind each set of columns. None is Ridge, or logistic regression.
    groups : array of shape (n,), default=None
        Rows of one group (a product's variants, a patient) are never in both training and test.
    cv : int, splitter or iterable of (train, test), default=5
        An int, 3 or more, is a number of folds of shuffled rows, as for `transfer_report`.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds, as for `transfer_report`.
    target : {"identity", "log"}, default="identity"
        As for `tabular_pipeline`.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        What embeds the images.
    target_aware : transformer, default=None
        A supervised encoder of images, for one more row, ``"both, target-aware"``.
    scoring : str or callable, default=None
        As for `cross_val_score`; None is accuracy, or R2 for numbers.
    n_repeats : int, default=5
        How often each column is permuted in each fold. Embeddings of permuted images are found in the store.
    random_state : int, default=0
        Seed of the folds and of the permutations.
    verbose : int, default=1
        1 shows a progress bar on a terminal or in a notebook; 0 does not.

    Returns
    -------
    ColumnReport

    Raises
    ------
    InputError
        If X is no frame, lacks a column or has no other than images; if y has one class, a value of y or a group is
        missing, or a class or the groups are too few for so many folds.
    ParameterError
        If a parameter has a value that is not accepted.
    MissingDependencyError
        If skrub is not installed (``pip install 'featx[table]'``).

    See Also
    --------
    transfer_report : Compare features of images alone.

    Examples
    --------
    >>> import featx, pandas as pd
    >>> from sklearn.datasets import load_sample_images
    >>> photos = load_sample_images().images
    >>> crops = [photo[i : i + 64, i : i + 64] for i in range(0, 240, 20) for photo in photos]
    >>> frame = pd.DataFrame({"photo": crops, "size": range(24)})
    >>> encoder = featx.ImageEncoder(cache=False, verbose=0)
    >>> report = featx.compare_columns(frame, ["temple", "flower"] * 12, image="photo", encoder=encoder, n_repeats=1)
    >>> report.decision
    'helps'
    """
    names, columns = _columns(X, image)
    check_integer("n_repeats", n_repeats)
    cv = check_cv(cv)
    numbers = target == "log" and task == "auto"
    regression = is_regression(y, "regression" if numbers else task, head=estimator, n_folds=cv)
    problem = Problem(check_y(y, len(X), regression), _check_groups(groups, len(X)), regression, scoring)
    estimator = estimator or (Ridge() if regression else LogisticRegression(max_iter=1000))
    image_encoder = clone(as_image_encoder(encoder)).set_params(verbose=verbose)
    if image_encoder.on_missing == "raise":
        image_encoder.set_params(on_missing="nan")
    rng = np.random.default_rng(random_state)
    splits = fix_cv(cv, problem.y, problem.groups, regression=regression)
    folds = nested_folds(problem.y, splits, problem.groups, regression, rng)
    both = tabular_pipeline(estimator, image=names, target=target).set_params(features__encoder=image_encoder)
    others = [column for column in columns if column not in names]
    models = {
        TABLE: (Pipeline([("features", vectorizer()), ("head", clone(both["head"]))]), others),
        IMAGE: (both, names),
        BOTH: (both, columns),
    }
    if target_aware is not None:
        models[AWARE] = clone(both).set_params(features__encoder=target_aware), columns
    outcomes = {name: Outcome() for name in models}
    seconds = dict.fromkeys(models, 0.0)
    drops: dict[str, list[np.ndarray]] = {column: [] for column in columns}
    with progress_bar(len(models) * len(folds), description="columns", verbose=verbose, unit="fit") as bar:
        for fold in folds:
            for name, (model, used) in models.items():
                started = time.perf_counter()
                fitted = _fit(model, _rows(X, fold.train)[used], problem, fold)
                test = _rows(X, fold.test)[used]
                examine(fitted, test, problem.y[fold.test], problem, outcomes[name])
                seconds[name] += time.perf_counter() - started
                if name == BOTH:
                    for column in columns:
                        drops[column].append(_drop(fitted, test, column, problem, fold, n_repeats, rng, outcomes[BOTH]))
                bar.update()
    held_out = HeldOut.of(folds, problem.groups)
    subtitle = f"{len(X):,} rows, {len(folds)} folds, {type(estimator).__name__}"
    return ColumnReport(outcomes, drops, held_out, seconds, unit_of(scoring, regression), [], subtitle)


def _columns(X: Any, image: Any) -> tuple[list[str], list[str]]:
    """Return the columns of images, and all columns."""
    names = [image] if isinstance(image, str) else list(image)
    columns = columns_of(X, names)
    if not names or len(names) == len(columns):
        raise InputError(
            f"Got image={image!r} and a table with the columns {columns[:20]}. Expected columns of both kinds: "
            "featx.transfer_report compares features of images alone."
        )
    return names, columns


def _check_groups(groups: Any, n: int) -> np.ndarray | None:
    import pandas as pd

    if groups is None:
        return None
    check_is_no_name("groups", groups)
    groups = as_array(groups)
    if groups.shape != (n,):
        raise InputError(f"Got groups of shape {groups.shape} for {n:,} rows. Expected one group a row.")
    missing = np.flatnonzero(pd.isna(groups))
    if len(missing):
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise InputError(
            f"Got no group in {len(missing):,} of {n:,} rows: rows {shown}. Expected one each: a row that is related "
            "to no other is a group by itself."
        )
    return groups


def _fit(model: Any, X: Any, problem: Problem, fold: Fold) -> Any:
    """Fit a clone; weights of images are chosen in folds of the groups."""
    has_groups = problem.groups is not None and hasattr(model["features"], "weight")
    given = {"features__groups": problem.groups[fold.train]} if problem.groups is not None and has_groups else {}
    with config_context(enable_metadata_routing=False):  # else a step is not given anything by its name
        return fit_quietly(model, X, problem.y[fold.train], **given)


def _drop(
    fitted: Any,
    test: Any,
    column: str,
    problem: Problem,
    fold: Fold,
    n_repeats: int,
    rng: np.random.Generator,
    outcome: Outcome,
) -> np.ndarray:
    """Return what each test row's score loses, on average over permutations of a column."""
    permuted = Outcome()
    for _ in range(n_repeats):
        rows = rng.permutation(len(fold.test))
        examine(fitted, _permuted(test, column, rows), problem.y[fold.test], problem, permuted)
    return outcome.sample_scores[-1] - np.mean(permuted.sample_scores, axis=0)


def _rows(X: Any, rows: np.ndarray) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _permuted(X: Any, column: str, rows: np.ndarray) -> Any:
    if hasattr(X, "iloc"):
        X = X.copy()
        X[column] = X[column].iloc[rows].set_axis(X.index)
        return X
    return X.with_columns(X[column][rows].alias(column))


def _frame(intervals: Mapping[str, Difference], name: str) -> pd.DataFrame:
    import pandas as pd

    rows = {key: {name: one.mean, "low": one.low, "high": one.high} for key, one in intervals.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _figures(row: pd.Series) -> list[str]:
    return [f"{row.iloc[0]:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]


def _write_verdict(decision: Decision, scores: Mapping[str, float], unit: ScoreUnit) -> list[str]:
    gain = decision.differences[TABLE]
    evidence = (
        f"The photo {decision.decision if decision.decision in (HELPS, HURTS) else 'is undecided'}: {unit.name} "
        f"{scores[BOTH]:.3f} with it against {scores[TABLE]:.3f} without ({unit.format(gain.mean)}, 95 % interval "
        f"{unit.figure(gain.low)} to {unit.figure(gain.high)})."
    )
    return [evidence, f"By itself it reaches {scores[IMAGE]:.3f}."]
