"""How often transfer_report's decision is wrong: synthetic tasks whose true gain is known."""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from featx.compare import FeatureSet, HeldOut, Problem, decide, learn, nested_folds, paired_gain
from featx.compare._learn import Head

# name: images, signal of the pretrained features, of the others, how many others, groups, shuffled labels
TASKS = {
    "equal, 60 images": (60, 0.5, 0.5, 1, 0, False),
    "equal, 300 images": (300, 0.5, 0.5, 1, 0, False),
    "equal, 300 images, 4 rivals": (300, 0.5, 0.5, 4, 0, False),
    "equal, 300 images in 30 groups": (300, 0.5, 0.5, 1, 30, False),
    "equal, 600 images in 60 groups": (600, 0.5, 0.5, 1, 60, False),
    "equal, easy, 60 images": (60, 1.5, 1.5, 1, 0, False),
    "equal, easy, 300 images": (300, 1.5, 1.5, 1, 0, False),
    "labels shuffled, 300 images": (300, 0.5, 0.5, 1, 0, True),
    "large gain, 300 images": (300, 1.0, 0.3, 1, 0, False),
    "large gain, 300 images, 4 rivals": (300, 1.0, 0.3, 4, 0, False),
    "large loss, 300 images, 4 rivals": (300, 0.3, 1.0, 4, 0, False),
}
DIMENSIONS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{'':32} helps  hurts  undecided   (% of {arguments.tasks} tasks)")
    for name, task in TASKS.items():
        counts = rates(arguments.tasks, *task)
        print(f"{name:32}", *(f"{100 * counts[found]:5.1f} " for found in ("helps", "hurts", "undecided")), flush=True)


def rates(n_tasks: int, *task, cv: int = 5) -> dict[str, float]:
    """Share of tasks with each decision."""
    counts = Counter(decision(seed, cv, *task) for seed in range(n_tasks))
    return {found: counts[found] / n_tasks for found in ("helps", "hurts", "undecided")}


def decision(seed: int, cv: int, n: int, signal: float, others: float, n_others: int, n_groups: int, shuffled: bool):
    """The decision for one task: each feature set shows the class through different noise."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, n_groups, n) if n_groups else None
    # The images of a group are of one class.
    y = rng.integers(0, 2, n) if groups is None else rng.integers(0, 2, n_groups)[groups]
    features = [_features(rng, y, groups, signal), *(_features(rng, y, groups, others) for _ in range(n_others))]
    y = rng.permutation(y) if shuffled else y
    problem = Problem(y, groups, regression=False)
    folds = nested_folds(y, cv, groups, False, rng)
    head = Head(FunctionTransformer(), [LogisticRegression(C=C) for C in (0.01, 1.0)])
    first, *rest = (
        learn(FeatureSet(str(i), Z.__getitem__, head), problem, folds, n, lambda: None).sample_scores
        for i, Z in enumerate(features)
    )
    gains = {str(i): paired_gain(first, scores) for i, scores in enumerate(rest)}
    return decide(gains, HeldOut.of(folds, groups), helps_if="all").decision


def _features(rng: np.random.Generator, y: np.ndarray, groups: np.ndarray | None, signal: float) -> np.ndarray:
    """Half of the noise belongs to the group, where there are groups."""
    direction = rng.normal(size=DIMENSIONS)
    direction *= signal / np.linalg.norm(direction)
    noise = rng.normal(size=(len(y), DIMENSIONS))
    if groups is not None:
        noise = (noise + rng.normal(size=(groups.max() + 1, DIMENSIONS))[groups]) / np.sqrt(2)
    return np.outer(2 * y - 1, direction) + noise


if __name__ == "__main__":
    main()
