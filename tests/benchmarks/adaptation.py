"""How often adaptation_report's verdict is wrong: synthetic pairs of domains whose true gain is known."""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from featx.adapt._domains import Domains
from featx.adapt._evaluate import compare_methods, split_domains
from featx.adapt._verdict import choose_blindly, decide_methods
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
DIMENSIONS, SIGNAL, DRAWS = 8, 2.0, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--methods", nargs="+", default=SHALLOW)
    parser.add_argument("--scorer", default="circular")
    arguments = parser.parse_args()
    print(f"{'':40} helps  hurts  undecided  choice without labels helps   (% of {arguments.tasks} tasks)")
    for name, task in TASKS.items():
        asked = [(seed, arguments.methods, arguments.scorer, *task) for seed in range(arguments.tasks)]
        said = Counter(word for question in asked for word in verdict(*question))
        rates = [100 * said[word] / arguments.tasks for word in ("helps", "hurts", "undecided", "blind")]
        print(f"{name:40}", *(f"{rate:5.1f} " for rate in rates), flush=True)


def verdict(seed: int, methods: tuple[str, ...], scorer: str, n: int, shares: tuple, moved: bool, shuffled: bool):
    """The word for one pair of domains, and ``"blind"`` where the choice without labels surely helps too."""
    rng = np.random.default_rng(seed)
    ys, yt = np.arange(n) % 3, rng.permutation(np.repeat(range(3), np.round(np.multiply(shares, n)).astype(int)))
    Zs, Zt = (rng.normal(size=(len(y), DIMENSIONS)) + SIGNAL * np.eye(DIMENSIONS)[y] for y in (ys, yt))
    if moved:
        Zt = Zt * rng.permutation(STRETCH) + rng.choice([-2, 2], DIMENSIONS)
    domains = Domains(Zs, ys, Zt, rng.permutation(yt) if shuffled else yt, np.arange(3), [])
    outcomes = compare_methods(domains, methods, split_domains(domains, DRAWS, seed), scorer, seed, lambda: None)
    decision = decide_methods(outcomes)
    chosen = decision.corrected.get(choose_blindly(outcomes))
    return [decision.word] + ["blind"] * (chosen is not None and chosen.low > 0)


if __name__ == "__main__":
    main()
