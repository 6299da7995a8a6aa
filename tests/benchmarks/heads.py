"""The heads and scalers that image_pipeline chose its defaults from, on held-out images."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC

import featx
from featx.heads import EmbeddingNormalizer, LinearProbe, PrototypeClassifier
from tests.benchmarks.fashion import DATA, read_fashion

HEADS = {
    "StandardScaler, LogisticRegression(C=0.001)": (StandardScaler(), LogisticRegression(C=0.001, max_iter=1000)),
    "StandardScaler, LogisticRegression(C=0.01)": (StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)),
    "StandardScaler, LogisticRegression(C=0.1)": (StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
    "StandardScaler, LogisticRegression(C=1)": (StandardScaler(), LogisticRegression(C=1, max_iter=1000)),
    "Normalizer, LogisticRegression(C=100)": (Normalizer(), LogisticRegression(C=100, max_iter=1000)),
    "Normalizer, SVC(C=3)": (Normalizer(), SVC(C=3)),
    "Normalizer, SVC(C=10)": (Normalizer(), SVC(C=10)),
    "Normalizer, SVC(C=30)": (Normalizer(), SVC(C=30)),
    "StandardScaler, SVC(C=10)": (StandardScaler(), SVC(C=10)),
    "Normalizer, PCA(128), SVC(C=10)": (Normalizer(), PCA(128, random_state=0), SVC(C=10)),
    "Normalizer, LinearSVC(C=1)": (Normalizer(), LinearSVC(C=1)),
    "StandardScaler, LinearSVC(C=0.001)": (StandardScaler(), LinearSVC(C=0.001)),
    "StandardScaler, LinearProbe()": (StandardScaler(), LinearProbe()),
    **{
        f"EmbeddingNormalizer({method!r}), {head!r}": (EmbeddingNormalizer(method), head)
        for method in ("cl2n", "power", "whiten")
        for head in (LinearProbe(), PrototypeClassifier())
    },
    "PrototypeClassifier()": (PrototypeClassifier(),),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    encoder = featx.ImageEncoder(cache=arguments.cache)
    digits = load_digits()
    images, labels = read_fashion(arguments.data)
    fashion = encoder.transform(images)
    digit = encoder.transform((digits.images * 255 / 16).astype(np.uint8))
    tasks = [*((fashion, labels, n) for n in (5000, 500, 50)), (digit, digits.target, 900)]
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{'':52} fashion 5,000  fashion 500    fashion 50     digits 900   (accuracy, seconds)")
    for name, steps in HEADS.items():
        print(f"{name:52}", *(score(make_pipeline(*steps), *task) for task in tasks), flush=True)


def score(model, embeddings: np.ndarray, labels: np.ndarray, n: int) -> str:
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = order[:n], order[n:][:3000]
    if n < 128 and "pca" in model.named_steps:
        return f"{'-':12} "
    started = time.perf_counter()
    value = model.fit(embeddings[train], labels[train]).score(embeddings[test], labels[test])
    return f"{value:.4f} {time.perf_counter() - started:5.1f} "


if __name__ == "__main__":
    main()
