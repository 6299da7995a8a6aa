"""What the weight of a photo does to many tables: the score without it, with weight 1, with the one that is chosen.

    python -m tests.benchmarks.table_weights FOODS

FOODS is the folder that ``tests/benchmarks/foods.py`` describes. Solar cells come with the package elpv-dataset
(CC BY-NC-SA 4.0), their photos beside the cell's type; tables that are made up have embeddings of those cells.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

import featx
from featx.table import vectorizer
from tests.benchmarks.foods import COLUMNS, read_foods

NUTRIENTS = ("enerc", "protcnt", "water", "fatce", "choavldf", "fibtg")
_CELLS = 700
_MADE = (300, 80, 30)
_BOOSTING = {"max_iter": 60, "random_state": 0}


class Known(TransformerMixin, BaseEstimator):
    """Embeddings that are known already, by the row's number."""

    def __init__(self, rows: np.ndarray):
        self.rows = rows

    def fit(self, X: Any, y: Any = None) -> Known:
        return self

    def transform(self, X: Any) -> np.ndarray:
        return self.rows[X["photo"].to_numpy()]

    def __sklearn_clone__(self) -> Known:
        return self


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", default="cache")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'':34}{'table':>8}{'weight 1':>10}{'chosen':>8}   weights that were chosen, seconds a fit")
    encoder = featx.ImageEncoder(cache=arguments.cache)
    for name, frame, embeddings, y, groups, heads in tables(arguments.folder, encoder):
        for head in heads:
            print(f"{name + ', ' + _name(head):34}", *_scores(frame, embeddings, y, groups, head), flush=True)


def tables(folder: Path, encoder: featx.ImageEncoder) -> Iterator[tuple]:
    """Yield name, frame, embeddings, target, groups and heads."""
    foods = read_foods(folder)
    embeddings = encoder.transform(foods["photo"])
    in_logarithms = TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)
    for nutrient in NUTRIENTS:
        y, heads = foods[nutrient].astype(float).to_numpy(), [in_logarithms]
        if nutrient == "enerc":
            heads += [HistGradientBoostingRegressor(**_BOOSTING), *_lightgbm()]
        yield f"foods, {nutrient}", foods[COLUMNS], embeddings, y, foods["genus"].to_numpy(), heads
    cells, probability, types = _solar_cells()
    embeddings = encoder.transform(cells)
    frame = pd.DataFrame({"type": types})
    yield "cells, number", frame, embeddings, probability, None, [Ridge()]
    heads = [LogisticRegression(max_iter=1000), HistGradientBoostingClassifier(**_BOOSTING)]
    yield "cells, class", frame, embeddings, probability > 0.5, None, heads
    for kind in ("noise", "photo", "both", "weak", "families", "nothing"):
        for n in _MADE[: 2 if kind == "families" else 3]:  # 30 rows are too few families
            yield f"{kind}, {n} rows", *make(kind, n, embeddings), [Ridge()]


def make(kind: str, n: int, embeddings: np.ndarray, seed: int = 0) -> tuple:
    """Make up a table: a, b and c of which y depends, or on the photo, on both, on nothing.

    Of ``"families"`` the photos of one look alike, and share a number that no photo tells.
    """
    draw = np.random.default_rng(seed)
    components = PCA(40, random_state=0).fit(embeddings)
    rows = embeddings[draw.permutation(len(embeddings))[:n]]
    shown = components.transform(rows)[:, :20]
    frame = pd.DataFrame({"a": draw.normal(size=n), "b": draw.normal(size=n), "c": draw.choice(list("uvwxyz"), n)})
    of_c = dict(zip("uvwxyz", draw.normal(size=6), strict=True))
    table = _standard(frame["a"] + 0.5 * frame["b"] + frame["c"].map(of_c))
    photo = _standard(shown / shown.std(axis=0) @ draw.normal(size=20))
    noise, groups = draw.normal(size=n), None
    if kind == "families":
        groups = draw.integers(n // 6, size=n)
        rows = embeddings[draw.integers(len(embeddings), size=n // 6)][groups] + 0.3 * (rows - rows.mean(axis=0))
        return frame, rows, table + draw.normal(size=n // 6)[groups] + 0.5 * noise, groups
    y = {
        "noise": table + 0.7 * noise,
        "photo": photo + 0.7 * noise,
        "both": table + photo + noise,
        "weak": table + 0.3 * photo + noise,
        "nothing": noise,
    }[kind]
    return frame, rows, y, groups


def _standard(values: Any) -> np.ndarray:
    values = np.asarray(values)
    return (values - values.mean()) / values.std()


def _lightgbm() -> list[Any]:
    try:
        from lightgbm import LGBMRegressor
    except ImportError:
        return []
    return [LGBMRegressor(n_estimators=60, random_state=0, n_jobs=1, verbose=-1)]


def _solar_cells() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    from elpv_dataset.utils import load_dataset

    images, probability, types = load_dataset()
    rows = np.random.default_rng(0).permutation(len(images))[:_CELLS]
    return [images[row] for row in rows], probability[rows], types[rows].astype(str)


def _scores(frame: pd.DataFrame, embeddings: np.ndarray, y: np.ndarray, groups: Any, head: Any) -> list[str]:
    X = frame.assign(photo=np.arange(len(frame)))
    if groups is not None:
        folds = list(GroupKFold(5).split(X, groups=groups))
    else:
        kind = StratifiedKFold if is_classifier(head) else KFold
        folds = list(kind(5, shuffle=True, random_state=0).split(X, y))
    alone = make_pipeline(vectorizer(), clone(head))
    texts = [f"{cross_val_score(alone, frame, y, cv=folds).mean():8.3f}"]
    started, chosen = 0.0, []
    for weight, width in ((1.0, 10), ("auto", 8)):
        model = featx.tabular_pipeline(head, image="photo", weight=weight)
        model.set_params(features__encoder=Known(embeddings))
        started, scores = time.perf_counter(), []
        for train, test in folds:
            model.fit(X.iloc[train], y[train])
            scores.append(model.score(X.iloc[test], y[test]))
            chosen.append(model["features"].weights_["photo"])
        texts.append(f"{np.mean(scores):{width - 1}.3f}")
    weights = " ".join(f"{value:g}" for value in chosen[len(folds) :])
    return [*texts, f"  {weights:24}", f"{(time.perf_counter() - started) / len(folds):.1f}"]


def _name(head: Any) -> str:
    inner = head.regressor if isinstance(head, TransformedTargetRegressor) else head
    name = type(inner).__name__.removeprefix("Hist").removesuffix("Regressor").removesuffix("Classifier")
    return f"log {name}" if inner is not head else name


if __name__ == "__main__":
    main()
