"""Bundles beside the pipelines that they came from: answers to 1,000 real images, head by head."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_digits, load_sample_images
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, PowerTransformer, QuantileTransformer, StandardScaler
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
    parser.add_argument("--install", action="store_true", help="each bundle in an environment of its own: MB, seconds")
    arguments = parser.parse_args()
    images, many = real_images(2 * arguments.images)
    two = np.where(np.unique(many, return_inverse=True)[1] % 2, "odd", "even")
    line = "| {:34} | {:8} | {:>7} | {:>4} | {:>7} | {:>5} | {:>4} |"
    print(line.format("head", "becomes", "labels", "ties", "off by", "MB", "ms"))
    print(line.format(*["---"] * 7))
    with tempfile.TemporaryDirectory() as scratch:
        for name, (model, classes) in heads(Path(scratch) / "cache").items():
            if arguments.heads and name not in arguments.heads:
                continue
            y = {
                "many": many,
                "many, counted": np.unique(many, return_inverse=True)[1],
                "two": two,
                "numbers": 1 + np.arange(len(many)) % 97 / 10.0,
            }[classes]
            X = as_table(images) if "table" in name else images
            try:
                row = measure(model, X, y, Path(scratch) / "bundle", arguments.quantize)
            except featx.FeatxError as error:
                row = ("refused", *[""] * 5)
                print(error, file=sys.stderr)
            print(line.format(name.strip() + (f", {classes}" if classes != "many" else ""), *row), flush=True)
            if arguments.install:
                print(*install(Path(scratch) / "bundle", Path(scratch) / "environment"), flush=True)


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
    rows["tuned threshold"] = (TunedThresholdClassifierCV(rows["logistic"][0], cv=3), "two")
    reduction = PCA(16, random_state=0)
    linear, boosted = LogisticRegression(C=0.01, max_iter=1000), HistGradientBoostingClassifier(max_iter=20)
    members = [("linear", linear), ("boosted", boosted)]
    reduced = {
        "hist. gradient boosting": boosted,
        "LightGBM": lightgbm.LGBMClassifier(n_estimators=20, verbose=-1),
        "fixed threshold": FixedThresholdClassifier(boosted, threshold=0.3),
        "one against rest, SVM": OneVsRestClassifier(SVC()),
        "voting, soft": VotingClassifier(members, voting="soft"),
        "voting, hard": VotingClassifier(members),
        "stacking": StackingClassifier(members, cv=3),
        "bagging": BaggingClassifier(boosted, 3, random_state=0),
        "k nearest, by distance": KNeighborsClassifier(weights="distance"),
        "k nearest, cosine": KNeighborsClassifier(metric="cosine"),
        "AdaBoost": AdaBoostClassifier(n_estimators=10, random_state=0),
    }
    for method in ("sigmoid", "isotonic", "temperature"):
        reduced[f"{method}, SVM"] = CalibratedClassifierCV(SVC(), method=method, cv=3)
        reduced[f"{method}, boosting"] = CalibratedClassifierCV(boosted, method=method, cv=3)
    rows |= {name: (pipe(reduction, head), "many") for name, head in reduced.items()}
    two = ("hist. gradient boosting", "LightGBM", "isotonic, SVM", "temperature, SVM")
    rows |= {f"{name} ": (rows[name][0], "two") for name in two}
    rows["fixed threshold"] = (rows["fixed threshold"][0], "two")
    rows["XGBoost"] = (pipe(reduction, xgboost.XGBClassifier(n_estimators=20)), "many, counted")
    rows["best 50 columns, logistic"] = (pipe(StandardScaler(), SelectKBest(k=50), linear), "many")
    losses = ("squared_error", "absolute_error", "poisson", "gamma", "quantile")
    by_loss = [HistGradientBoostingRegressor(loss=loss, quantile=0.5, max_iter=20) for loss in losses]
    spread = QuantileTransformer(n_quantiles=100)
    numbers = {
        **{f"hist. boosting, {head.loss}": head for head in by_loss},
        "log target, hist. boosting": TransformedTargetRegressor(by_loss[0], func=np.log1p, inverse_func=np.expm1),
        "root target, ridge": TransformedTargetRegressor(Ridge(1000), func=np.sqrt, inverse_func=np.square),
        "power target, ridge": TransformedTargetRegressor(Ridge(1000), transformer=PowerTransformer()),
        "quantile target, ridge": TransformedTargetRegressor(Ridge(1000), transformer=spread),
        "gradient boosting, huber": GradientBoostingRegressor(loss="huber", n_estimators=20),
        "random forest": RandomForestRegressor(20, random_state=0),
        "LightGBM": lightgbm.LGBMRegressor(n_estimators=20, verbose=-1),
        "XGBoost": xgboost.XGBRegressor(n_estimators=20),
        "voting": VotingRegressor([("linear", Ridge(1000)), ("boosted", by_loss[0])]),
        "stacking": StackingRegressor([("linear", Ridge(1000)), ("boosted", by_loss[0])], cv=3),
        "k nearest, by distance": KNeighborsRegressor(weights="distance"),
    }
    rows |= {f"{name}  ": (pipe(reduction, head), "numbers") for name, head in numbers.items()}
    infrequent = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.34)
    columns = make_column_transformer((make_pipeline(encoder, StandardScaler()), "photo"), (infrequent, ["colour"]))
    rows["table, rare categories"] = (make_pipeline(columns, linear), "many")
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
    # Of probabilities absolutely, of decision values and numbers by the largest of them.
    off = max(agreement.errors.values(), default=0.0)
    single = featx.Predictor(bundle, n_jobs=1)
    seconds = []
    for i in range(20):
        started = time.perf_counter()
        single.predict(test[i : i + 1])
        seconds.append(time.perf_counter() - started)
    size = sum(file.stat().st_size for file in bundle.folder.rglob("*") if file.is_file())
    ms = 1000 * statistics.median(seconds)
    return bundle.manifest["head"], f"{equal:.2%}", str(ties), f"{off:.0e}", f"{size / 1e6:.1f}", f"{ms:.0f}"


def install(bundle: Path, environment: Path) -> tuple[str, ...]:
    """Install a bundle's requirements alone, and time the first answer of new processes."""
    venv.create(environment, clear=True, with_pip=True)
    python = environment / "bin" / "python"
    before = size_of(environment)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", bundle / "requirements.txt"], check=True)
    Image.fromarray(load_sample_images().images[0]).save(bundle.parent / "photo.jpg")
    code = "from predictor import Predictor; Predictor().predict(['../photo.jpg'])"
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([python, "-c", code], cwd=bundle, check=True)
        seconds.append(time.perf_counter() - started)
    packages = size_of(environment) - before
    return f"packages {packages / 1e6:.0f} MB,", f"first answer after {statistics.median(seconds[1:]):.2f} s"


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


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
