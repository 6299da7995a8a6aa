"""Bundles beside the pipelines that they came from: answers to 1,000 real images, head by head."""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_sample_images
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

import featx
from featx.deploy.export._agreement import ask, compare
from featx.heads import EmbeddingNormalizer, LinearProbe, PrototypeClassifier
from tests.benchmarks.fashion import read_fashion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="answered, and as many more to train on")
    parser.add_argument("--heads", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--quantize", choices=["int8", "float16"], help="calibrated on 300 of those trained on")
    arguments = parser.parse_args()
    images, many = real_images(2 * arguments.images)
    two = np.where(np.unique(many, return_inverse=True)[1] % 2, "odd", "even")
    line = "{:28} {:8} {:>7} {:>9} {:>9} {:>9} {:>6}"
    print(line.format("head", "becomes", "labels", "ties", "probab.", "decision", "MB"))
    with tempfile.TemporaryDirectory() as scratch:
        for name, (model, classes) in heads(Path(scratch) / "cache").items():
            if arguments.heads and name not in arguments.heads:
                continue
            y = {"many": many, "two": two, "numbers": np.arange(len(many)) % 97 / 10.0}[classes]
            X = as_table(images) if "table" in name else images
            row = measure(model, X, y, Path(scratch) / "bundle", arguments.quantize)
            print(line.format(name + (f", {classes}" if classes != "many" else ""), *row), flush=True)


def heads(cache: Path) -> dict[str, tuple[object, str]]:
    """Name -> a pipeline, and which labels it learns."""
    encoder = featx.ImageEncoder(cache=str(cache), verbose=0)

    def pipe(*steps):
        return make_pipeline(encoder, *steps)

    scaled = {
        "logistic": LogisticRegression(C=0.01, max_iter=1000),
        "linear SVM": LinearSVC(C=0.001),
        "SVM": SVC(),
        "ridge classifier": RidgeClassifier(alpha=100),
        "LDA": LinearDiscriminantAnalysis(),
        "k nearest neighbours": KNeighborsClassifier(),
        "calibrated linear SVM": CalibratedClassifierCV(LinearSVC(C=0.001), cv=3),
        "SGD, hinge": SGDClassifier(random_state=0),
        "SGD, log loss": SGDClassifier("log_loss", random_state=0),
        "MLP": MLPClassifier((64,), max_iter=30, random_state=0),
        "random forest": RandomForestClassifier(50, random_state=0),
        "extra trees": ExtraTreesClassifier(50, random_state=0),
        "naive Bayes": GaussianNB(),
    }
    rows = {name: (pipe(StandardScaler(), head), "many") for name, head in scaled.items()}
    for name in ("logistic", "linear SVM", "SVM", "LDA", "ridge classifier", "SGD, log loss"):
        rows[name + " "] = (pipe(StandardScaler(), scaled[name]), "two")
    rows["probe"] = (pipe(StandardScaler(), LinearProbe()), "many")
    for method in ("cl2n", "power", "whiten"):
        for kind, classes in (("many", ""), ("two", " ")):
            rows[f"{method}, prototypes{classes}"] = (pipe(EmbeddingNormalizer(method), PrototypeClassifier()), kind)
    rows["normalised SVM"] = (pipe(Normalizer(), SVC(C=10)), "many")
    rows["PCA, logistic"] = (pipe(SimpleImputer(), PCA(64, random_state=0), LogisticRegression(max_iter=1000)), "many")
    rows["gradient boosting"] = (pipe(PCA(16, random_state=0), GradientBoostingClassifier(n_estimators=20)), "two")
    rows["grid search"] = (GridSearchCV(rows["linear SVM"][0], {"linearsvc__C": [0.001, 0.01]}, cv=2), "many")
    rows["ridge"] = (pipe(StandardScaler(), Ridge(1000)), "numbers")
    rows["SVM regression"] = (pipe(StandardScaler(), SVR()), "numbers")
    columns = make_column_transformer(
        (make_pipeline(encoder, StandardScaler()), "photo"),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["price"]),
        (OneHotEncoder(handle_unknown="ignore"), ["colour"]),
    )
    rows["table, logistic"] = (make_pipeline(columns, LogisticRegression(C=0.01, max_iter=1000)), "many")
    rows["hist. gradient boosting"] = (
        pipe(PCA(16, random_state=0), HistGradientBoostingClassifier(max_iter=20)),
        "two",
    )
    rows["tuned threshold"] = (TunedThresholdClassifierCV(rows["logistic"][0], cv=3), "two")
    return rows


def measure(model, X, y, folder: Path, quantize: str | None) -> tuple[str, ...]:
    half = len(y) // 2
    train, test = (X[:half], X[half:]) if isinstance(X, list) else (X.iloc[:half], X.iloc[half:])
    model.fit(train, y[:half])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", featx.FeatxWarning)
        bundle = featx.export_bundle(model, folder, sample=train[:300] if quantize else None, quantize=quantize)
    expected, got = ask(model, test), featx.Predictor(bundle).outputs(test, bundle.manifest["outputs"])
    agreement = compare(expected, got)
    equal = agreement.labels_equal
    # A label that is another one, with scores that are equal within the tolerance.
    ties = 0 if equal is None or any("labels" in text for text in agreement.where) else round((1 - equal) * len(test))
    if equal is None:
        equal = float(np.isclose(expected["label"], got["label"], rtol=1e-4).mean())
    errors = [agreement.errors.get(name) for name in ("probabilities", "decision")]
    size = sum(file.stat().st_size for file in bundle.folder.rglob("*") if file.is_file())
    shown = ["" if error is None else f"{error:.0e}" for error in errors]
    return bundle.manifest["head"], f"{equal:.2%}", str(ties), *shown, f"{size / 1e6:.1f}"


def real_images(n: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Fashion-MNIST, scikit-learn's digits and parts of its two photos, scaled down; with their classes; shuffled."""
    fashion, fashion_labels = read_fashion()
    digits = load_digits()
    pairs = [(fashion[i], f"fashion {fashion_labels[i]}") for i in range(2 * n // 5)]
    pairs += [((digits.images[i] * 15).astype("uint8"), f"digit {digits.target[i]}") for i in range(2 * n // 5)]
    photos, names = load_sample_images().images, ("photo china", "photo flower")
    random = np.random.default_rng(0)
    for i in range(n - len(pairs)):
        side = int(random.integers(120, 400))
        y, x = int(random.integers(0, 427 - side)), int(random.integers(0, 640 - side))
        part = Image.fromarray(photos[i % 2][y : y + side, x : x + side]).resize((side // 2, side // 2))
        pairs.append((np.asarray(part), names[i % 2]))
    order = random.permutation(len(pairs))
    return [pairs[i][0] for i in order], np.array([pairs[i][1] for i in order])


def as_table(images: list[np.ndarray]) -> pd.DataFrame:
    random = np.random.default_rng(1)
    n = len(images)
    prices = np.where(random.random(n) < 0.1, np.nan, random.normal(10, 3, n))
    return pd.DataFrame({"photo": images, "price": prices, "colour": random.choice(["red", "green", "blue"], n)})


if __name__ == "__main__":
    main()
