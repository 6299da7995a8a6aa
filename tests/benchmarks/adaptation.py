"""How often adaptation_report's decision is wrong: synthetic pairs of domains whose true gain is known."""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from featx.adapt._domains import Domains
from featx.adapt._evaluate import compare_methods, split_domains
from featx.adapt._tables import choose_blindly, decide_methods
from featx.compare import HeldOut
from tests.adapt.gaussians import STRETCH

SHALLOW = ("source", "standardize", "coral", "subspace", "ot")
# name: rows of each domain, shares of the target's classes, stretched and moved, shuffled labels
EVEN, UNEVEN = (1 / 3, 1 / 3, 1 / 3), (0.8, 0.1, 0.1)
TASKS = {
    "no gap, 60 rows": (60, EVEN, False, False),
    "no gap, 200 rows": (200, EVEN, False, False),
    "labels of the target shuffled, 60 rows": (60, EVEN, True, True),
    "stretched and moved, 60 rows": (60, EVEN, True, False),
    "stretched and moved, 200 rows": (200, EVEN, True, False),
    "no gap but other shares, 200 rows": (200, UNEVEN, False, False),
}
DIMENSIONS, SIGNAL, CV = 8, 2.0, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--methods", nargs="+", default=SHALLOW)
    parser.add_argument("--scorer", default="circular")
    arguments = parser.parse_args()
    print(f"{'':40} helps  hurts  undecided  choice without labels helps   (% of {arguments.tasks} tasks)")
    for name, task in TASKS.items():
        asked = [(seed, arguments.methods, arguments.scorer, *task) for seed in range(arguments.tasks)]
        counts = Counter(found for given in asked for found in decision(*given))
        rates = [100 * counts[found] / arguments.tasks for found in ("helps", "hurts", "undecided", "blind")]
        print(f"{name:40}", *(f"{rate:5.1f} " for rate in rates), flush=True)


def decision(seed: int, methods: tuple[str, ...], scorer: str, n: int, shares: tuple, moved: bool, shuffled: bool):
    """The decision for one pair of domains, and ``"blind"`` where the choice without labels surely helps too."""
    rng = np.random.default_rng(seed)
    ys, yt = np.arange(n) % 3, rng.permutation(np.repeat(range(3), np.round(np.multiply(shares, n)).astype(int)))
    Zs, Zt = (rng.normal(size=(len(y), DIMENSIONS)) + SIGNAL * np.eye(DIMENSIONS)[y] for y in (ys, yt))
    if moved:
        Zt = Zt * rng.permutation(STRETCH) + rng.choice([-2, 2], DIMENSIONS)
    domains = Domains(Zs, ys, Zt, rng.permutation(yt) if shuffled else yt, np.arange(3), [])
    splits = split_domains(domains, CV, seed)
    outcomes = compare_methods(domains, methods, splits, scorer, seed, lambda: None)
    found = decide_methods(outcomes, HeldOut.of([split.target for split in splits]))
    chosen = found.corrected.get(choose_blindly(outcomes))
    return [found.decision] + ["blind"] * (chosen is not None and chosen.low > 0)


if __name__ == "__main__":
    main()
