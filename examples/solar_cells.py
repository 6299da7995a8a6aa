"""Which solar cells are defective? From the raw photos to a model that is scored, saved and exported.

    pip install "featx[finetune,export]" elpv-dataset
    python examples/solar_cells.py                      # ten draws, which take hours on two cores
    python examples/solar_cells.py --draws 1 --cv 2     # one, sooner
    python examples/solar_cells.py --ways frozen tuned  # without the cross-fitting

2,624 electroluminescence photos of cells, 300 x 300, of 44 modules, each with how likely it is defective (Deitsch et
al. 2019, arXiv:1807.02894; package elpv-dataset, CC BY-NC-SA 4.0), and the kind of cell beside it. A cell counts as
defective above one half; a random quarter of each class is tested on. Published accuracies on such a split are 82.4 %
(features made by hand, and an SVM) and 88.4 % (a fine-tuned VGG19).

It compares the kind of cell alone, frozen embeddings, and features of a network that is tuned to the target inside each
training set, each with an SVM, and the tuned network's own head, tuned to the classes or to the likelihood (0, 1/3, 2/3
or 1); intervals (95 %) are over draws. The last draw's model is kept in --model and, without torch, in --bundle.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from elpv_dataset.utils import load_dataset
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

import featx
from _draws import draw_splits, score_ways, table_of, verdict

TEST = 0.25
LIKELY = 0.5
CHECKED = 20
WAYS = ("kind alone", "frozen", "target-aware", "tuned", "tuned to likelihood")


def main() -> None:
    arguments = parse_arguments()
    cells, likely = read(arguments.limit)
    labels = likely.to_numpy() > LIKELY
    print(f"{len(cells):,} cells, {labels.mean():.0%} defective, a quarter of them to test on")
    ways = {name: way for name, way in make_ways(arguments, likely).items() if name in arguments.ways}
    splits = draw_splits(labels, arguments.draws, test_size=TEST)
    scores, seconds = score_ways(ways, cells, labels, splits)
    shared = TEST / (1 - TEST)
    print(table_of(scores, seconds, baseline="frozen", shared=shared).to_string(index=False))
    for name in WAYS[2:]:
        if name in ways:
            print(verdict(scores, name, "frozen", shared=shared))
    if "target-aware" in ways:
        leave(ways["target-aware"], cells.iloc[splits[-1][1][:CHECKED]], arguments)


def read(limit: int | None) -> tuple[pd.DataFrame, pd.Series]:
    """A table of photos and kinds of cells, and how likely each is defective; a limit keeps the classes' shares."""
    photos, likely, kinds = load_dataset()
    cells = pd.DataFrame({"photo": list(photos), "kind": kinds.astype(str)})
    if limit and limit < len(cells):
        rows, _ = train_test_split(np.arange(len(cells)), train_size=limit, stratify=likely > LIKELY, random_state=0)
        cells, likely = cells.iloc[rows].reset_index(drop=True), likely[rows]
    return cells, pd.Series(likely)


def make_ways(arguments: argparse.Namespace, likely: pd.Series) -> dict[str, Any]:
    """Models that take the whole table."""
    preprocess = featx.Preprocess(arguments.size, fit="squash") if arguments.size else "squash"
    encoder = featx.ImageEncoder(arguments.encoder, preprocess=preprocess, cache=arguments.cache)
    tuning = {"unfreeze": arguments.unfreeze, "max_epochs": arguments.epochs}
    aware = featx.TargetAwareEncoder(encoder, reduce=arguments.reduce, cv=arguments.cv, **tuning)
    kind = (OneHotEncoder(drop="if_binary"), ["kind"])
    head = make_pipeline(StandardScaler(), SVC(C=1.0))
    return {
        "kind alone": make_pipeline(make_column_transformer(kind), LogisticRegression()),
        "frozen": make_pipeline(make_column_transformer((encoder, "photo"), kind), head),
        "target-aware": make_pipeline(make_column_transformer((aware, "photo"), kind), head),
        "tuned": Photos(featx.FineTuneClassifier(encoder, **tuning)),
        "tuned to likelihood": Likelihood(featx.FineTuneRegressor(encoder, **tuning), likely),
    }


class Photos:
    """A model of photos alone, given the table."""

    def __init__(self, model: Any):
        self.model = model

    def fit(self, cells: pd.DataFrame, labels: np.ndarray) -> Photos:
        self.model.fit(cells["photo"], labels)
        return self

    def score(self, cells: pd.DataFrame, labels: np.ndarray) -> float:
        return self.model.score(cells["photo"], labels)


class Likelihood:
    """A model of how likely a cell is defective, given the table: a sure label teaches more than a doubtful one."""

    def __init__(self, model: Any, likely: pd.Series):
        self.model, self.likely = model, likely

    def fit(self, cells: pd.DataFrame, labels: np.ndarray) -> Likelihood:
        self.model.fit(cells["photo"], self.likely[cells.index].to_numpy())
        return self

    def score(self, cells: pd.DataFrame, labels: np.ndarray) -> float:
        return float(((self.model.predict(cells["photo"]) > LIKELY) == labels).mean())


def leave(model: Any, cells: pd.DataFrame, arguments: argparse.Namespace) -> None:
    """Save and export the model, and compare what is read again on some cells."""
    featx.save(model, arguments.model)
    featx.export_bundle(model, arguments.bundle)
    expected = model.predict(cells)
    for name, other in (("saved", featx.load(arguments.model)), ("exported", featx.Predictor(arguments.bundle))):
        print(f"{name}: {(other.predict(cells) == expected).mean():.0%} of {len(cells)} predictions equal")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="what to compare; frozen is among them")
    parser.add_argument("--limit", type=int, help="use so many cells only")
    parser.add_argument("--encoder", default="efficientnet_lite0", help="default: %(default)s")
    parser.add_argument("--size", type=int, help="pixels a side; default: the encoder's own")
    parser.add_argument("--unfreeze", default="last_block", help="where tuning begins (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--reduce", type=int, default=30, help="principal components beside the tuned outputs")
    parser.add_argument("--cv", type=int, default=5, help="folds of the cross-fitting (default: %(default)s)")
    parser.add_argument("--cache", default="cache", help="folder of embeddings and fits (default: %(default)s)")
    parser.add_argument("--model", type=Path, default="cache/solar_cells", help="default: %(default)s")
    parser.add_argument("--bundle", type=Path, default="cache/solar_cells_bundle", help="default: %(default)s")
    arguments = parser.parse_args()
    arguments.ways = {"frozen", *arguments.ways}
    return arguments


if __name__ == "__main__":
    main()
