"""Fine-tuning on Fashion-MNIST: a frozen probe, the last block, all layers, a network from nothing; and the epochs."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from featx import image_pipeline
from featx.finetune import FineTuneClassifier, small_encoder
from tests.benchmarks.fashion import DATA, read_fashion

METHODS = {
    "frozen": None,
    "head": {"unfreeze": "head", "learning_rate": 1e-3},
    "block": {},
    "all": {"unfreeze": "all"},
    "scratch": {
        "encoder": small_encoder(),
        "unfreeze": "all",
        "train_norms": True,
        "epochs": 30,
        "learning_rate": 3e-3,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="images to train on, and as many again to test on")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--epochs", type=int, default=5, help="of all but the network from nothing")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(f"There is no {arguments.data}: Debian's package dataset-fashion-mnist has it.")
    images, labels = read_fashion(arguments.data)
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = order[: arguments.n], order[arguments.n : 2 * arguments.n]
    print("method   accuracy  (95 %)     fit s  epoch s  kept epoch")
    for name in arguments.methods:
        with tempfile.TemporaryDirectory() as cache:
            run(name, arguments.epochs, cache, images, labels, train, test)
    with tempfile.TemporaryDirectory() as cache:
        compare_epochs(cache, images[train[:320]], labels[train[:320]])


def tuner(cache: str, **parameters) -> FineTuneClassifier:
    parameters = {"preprocess": "squash", "verbose": 0, "cache": cache, **parameters}
    if "encoder" in parameters:
        parameters["preprocess"] = "default"
    return FineTuneClassifier(**parameters)


def run(name: str, epochs: int, cache: str, images, labels, train, test) -> None:
    if METHODS[name] is None:
        model = image_pipeline("logistic", preprocess="squash", verbose=0, cache=cache)
    else:
        model = tuner(cache, **{"epochs": epochs, **METHODS[name]})
    started = time.perf_counter()
    model.fit(images[train], labels[train])
    seconds = time.perf_counter() - started
    accuracy = model.score(images[test], labels[test])
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / len(test))
    print(f"{name:8} {accuracy:.3f}  {accuracy - half:.3f}..{accuracy + half:.3f} {seconds:7.1f}", end="")
    print("" if METHODS[name] is None else told(model.history_), flush=True)


def told(history) -> str:
    losses = history["validation_loss"]
    return f"  {history['seconds'].median():7.1f}  {losses.idxmin():4} of {len(losses) - 1}"


def compare_epochs(cache: str, images, labels) -> None:
    """Seconds an epoch of the last block, with its frozen layers computed once and in each epoch."""
    medians = []
    for augment in (None, _same):
        model = tuner(cache, epochs=2, validation=None, augment=augment).fit(images, labels)
        medians.append(model.history_["seconds"].median())
    once, each = medians
    print(f"an epoch of the last block, {len(labels)} images: frozen layers once {once:.1f} s, each time {each:.1f} s,")
    print(f"{each / once:.1f} times as long")


def _same(image):
    return image


if __name__ == "__main__":
    main()
