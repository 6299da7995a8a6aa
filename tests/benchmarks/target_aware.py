"""A grid search over ten heads and five folds with a TargetAwareEncoder beside its tunings alone, and once more.

python -m tests.benchmarks.target_aware                 # seconds, as ratios of one run
python -m tests.benchmarks.target_aware --shuffled 20   # instead, what can be learned of shuffled labels: nothing
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
from scipy.stats import t
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import featx
from featx.finetune import FineTuneClassifier, small_encoder
from tests.benchmarks.fashion import read_fashion

HEADS = [
    *(LogisticRegression(C=C, max_iter=2000) for C in np.logspace(-3, 1, 5)),
    *(SVC(C=C) for C in np.logspace(-1, 2, 5)),
]
FOLDS, CROSS = 5, 3


def main() -> None:
    arguments = parse_arguments()
    images, labels = read_fashion()
    if arguments.shuffled:
        shuffle(images, labels, arguments.shuffled)
        return
    rows = np.random.default_rng(0).permutation(len(images))[: arguments.images]
    X, y = images[rows], labels[rows]
    with tempfile.TemporaryDirectory() as folder:
        alone = tune_alone(X, y, f"{folder}/alone", arguments.epochs)
        searches = [search(X, y, f"{folder}/grid", arguments.epochs) for _ in range(2)]
    print(f"{len(X)} images, {FOLDS} folds x {len(HEADS)} heads, cv={CROSS}: {(FOLDS + 1) * (CROSS + 1)} tunings")
    print(
        f"tunings alone {alone:.1f} s; grid {searches[0]:.1f} s ({searches[0] / alone:.2f}x); again "
        f"{searches[1]:.1f} s ({searches[0] / searches[1]:.0f}x as fast)"
    )


def tune_alone(X: np.ndarray, y: np.ndarray, cache: str, epochs: int) -> float:
    """Seconds of the tunings that the grid needs, on the same rows, and nothing else."""
    encoder = featx.ImageEncoder(preprocess="squash", cache=cache, verbose=0)
    started = time.perf_counter()
    outer = [train for train, _ in StratifiedKFold(FOLDS).split(X, y)] + [np.arange(len(X))]
    for rows in outer:
        inner = [rows[train] for train, _ in StratifiedKFold(CROSS, shuffle=True, random_state=0).split(rows, y[rows])]
        for some in (rows, *inner):
            FineTuneClassifier(encoder, max_epochs=epochs, verbose=0).fit(X[some], y[some])
    return time.perf_counter() - started


def search(X: np.ndarray, y: np.ndarray, cache: str, epochs: int) -> float:
    encoder = featx.ImageEncoder(preprocess="squash", cache=cache, verbose=0)
    aware = featx.TargetAwareEncoder(encoder, cv=CROSS, max_epochs=epochs, verbose=0)
    model = Pipeline([("aware", aware), ("scaler", StandardScaler()), ("head", HEADS[0])])
    started = time.perf_counter()
    GridSearchCV(model, {"head": HEADS}, cv=FOLDS, error_score="raise").fit(list(X), y)
    return time.perf_counter() - started


def shuffle(images: np.ndarray, labels: np.ndarray, draws: int) -> None:
    """Accuracy on pullovers and shirts with shuffled labels, of heads on new rows and of outputs on training rows."""
    images, scores = images[np.isin(labels, [2, 6])], {}
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        X, y = list(images[rng.permutation(len(images))[:120]]), rng.permutation([0, 1] * 60)
        for name, head in (("logistic", LogisticRegression()), ("boosting", HistGradientBoostingClassifier())):
            found = cross_val_score(make_pipeline(make_aware(), head), X, y, cv=StratifiedKFold(3)).mean()
            scores.setdefault(f"test rows, {name}", []).append(found)
        aware = make_aware()
        for name, features in (
            ("fit_transform", aware.fit_transform(X, y)),
            ("fit, then transform", aware.transform(X)),
        ):
            scores.setdefault(f"training rows, outputs of {name}", []).append(((features[:, 0] > 0) == y).mean())
    for name, values in scores.items():
        half = t.ppf(0.975, draws - 1) * np.std(values, ddof=1) / np.sqrt(draws)
        print(f"shuffled labels, {name}: {np.mean(values):.3f} +- {half:.3f}")


def make_aware() -> Any:
    encoder = featx.ImageEncoder(small_encoder(16, 16), cache=CACHE.name, verbose=0)
    return featx.TargetAwareEncoder(
        encoder, unfreeze="all", reduce=5, cv=3, max_epochs=10, learning_rate=3e-3, verbose=0
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--shuffled", type=int, default=0, metavar="DRAWS")
    return parser.parse_args()


if __name__ == "__main__":
    CACHE = tempfile.TemporaryDirectory()
    main()
