"""Fine-tuning on Fashion-MNIST: a frozen probe, the last block, all layers, a network from nothing; and the epochs."""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from featx import ImageEncoder, Preprocess, image_pipeline
from featx.encoders import resolve
from featx.finetune import FineTuneClassifier, small_encoder
from tests.benchmarks.fashion import DATA, read_fashion

METHODS = {
    "frozen": None,
    "head": {"unfreeze": "head", "learning_rate": 1e-3},
    "block": {},
    "stopped": {"validation_fraction": 0.1},
    "all": {"unfreeze": "all", "max_epochs": 5},
    "scratch": {"unfreeze": "all", "train_batch_norm": True, "learning_rate": 3e-3},
}
_FEW = 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="images to train on, of 60,000")
    parser.add_argument("--test", type=int, default=10_000, help="images to test on, of 10,000")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--epochs", type=int, default=30, help="of the network from nothing (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="side that images are squashed to (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(f"There is no {arguments.data}: Debian's package dataset-fashion-mnist has it.")
    chosen = np.random.default_rng(0).permutation(60_000)[: arguments.n]
    train = tuple(values[chosen] for values in read_fashion(arguments.data, "train"))
    test = tuple(values[: arguments.test] for values in read_fashion(arguments.data))
    (spec,) = resolve("efficientnet_lite0")
    preprocess = replace(spec.preprocess, size=arguments.size, resize=None, fit="squash")
    print(f"{arguments.n:,} images of {arguments.size} x {arguments.size} to train on, {arguments.test:,} to test on")
    print("method   accuracy  (95 %)           fit s  epoch s  epochs")
    for name in arguments.methods:
        with tempfile.TemporaryDirectory() as cache:
            if name == "scratch":
                encoder = ImageEncoder(small_encoder(), cache=cache, verbose=0)
                method = {**METHODS[name], "max_epochs": arguments.epochs}
            else:
                encoder, method = ImageEncoder(preprocess=preprocess, cache=cache, verbose=0), METHODS[name]
            run(name, encoder, method, train, test)
    compare_epochs(preprocess, *(values[:_FEW] for values in train))


def run(name: str, encoder: ImageEncoder, method: dict | None, train: tuple, test: tuple) -> None:
    """Fit and score one of them, and print its row; each of train and test is images and labels."""
    if method is None:
        model = image_pipeline("logistic", **encoder.get_params())
    else:
        model = FineTuneClassifier(encoder, verbose=0, **method)
    started = time.perf_counter()
    model.fit(*train)
    seconds = time.perf_counter() - started
    accuracy = model.score(*test)
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / len(test[1]))
    print(f"{name:8} {accuracy:.3f}  ({accuracy - half:.3f} to {accuracy + half:.3f}) {seconds:8.1f}", end="")
    print("" if method is None else summarize(model.history_), flush=True)


def summarize(history) -> str:
    return f" {history['seconds'].median():8.1f}  {len(history) - 1:6}"


def compare_epochs(preprocess: Preprocess, images: np.ndarray, labels: np.ndarray) -> None:
    """Seconds an epoch of the last block, with its frozen layers computed once and in each epoch."""
    medians = []
    for augment in (None, _same):
        encoder = ImageEncoder(preprocess=preprocess, cache=False, verbose=0)
        model = FineTuneClassifier(encoder, max_epochs=3, augment=augment, verbose=0)
        medians.append(model.fit(images, labels).history_["seconds"].median())
    once, each = medians
    print(f"an epoch of the last block, {len(labels)} images: frozen layers once {once:.2f} s, each time {each:.1f} s,")
    print(f"{each / once:.1f} times as long")


def _same(image):
    return image


if __name__ == "__main__":
    main()
