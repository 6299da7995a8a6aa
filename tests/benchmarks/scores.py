"""What the scores in closed form cost on 10,000 rows of 1,280 numbers, and the test for drift on 2 x 2,000."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from featx.scores import hscore, knn_score, lda_score, leep_score, logme_score, nce_score, proxy_a_distance

N, DIM, CLASSES, SOURCE_CLASSES, DRIFT = 10_000, 1_280, 10, 1_000, 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, N)
    Z = (rng.normal(size=(N, DIM)) + rng.normal(size=(CLASSES, DIM))[y]).astype(np.float32)
    P = rng.dirichlet(np.full(SOURCE_CLASSES, 0.1), N).astype(np.float32)
    total = 0.0
    for score, inputs in [
        (knn_score, Z),
        (logme_score, Z),
        (hscore, Z),
        (lda_score, Z),
        (leep_score, P),
        (nce_score, P),
    ]:
        seconds = measure(lambda score=score, inputs=inputs: score(inputs, y), arguments.runs)
        total += seconds
        print(f"{score.__name__:18} {seconds:6.2f} s", flush=True)
    print(f"{'together':18} {total:6.2f} s")
    seconds = measure(lambda: proxy_a_distance(Z[:DRIFT], Z[DRIFT : 2 * DRIFT]), arguments.runs)
    print(f"{'proxy_a_distance':18} {seconds:6.2f} s, on 2 x {DRIFT:,} rows with 200 permutations")


def measure(call: Callable, runs: int) -> float:
    """Median seconds."""
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return median(took)


if __name__ == "__main__":
    main()
