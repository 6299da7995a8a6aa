"""Bundles of two columns of images, of two encoders and of several images a row, beside that of one image."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

import featx
from tests.benchmarks.bundles import real_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="answered, and as many more to train on")
    parser.add_argument("--rounds", type=int, default=30, help="answers of one row, of which the median is taken")
    arguments = parser.parse_args()
    images, labels = real_images(2 * arguments.images)
    y = np.where(np.unique(labels, return_inverse=True)[1] % 2, "odd", "even")
    line = "{:34} {:>7} {:>9} {:>10} {:>9} {:>9}"
    print(line.format("columns", "head", "MB", "of one", "worst", "ms a row"))
    with tempfile.TemporaryDirectory() as scratch:
        sizes: list[float] = []
        times: dict[str, list[float]] = {}
        predictors = {}
        for name, (model, X) in pipelines(images, Path(scratch) / "cache").items():
            folder = Path(scratch) / str(len(sizes))
            predictors[name], size, worst = measure(model, X, y, folder)
            sizes.append(size)
            head = predictors[name].manifest["head"]
            print(line.format(name, head, f"{size:.1f}", f"{size / sizes[0]:.3f}", f"{worst:.0e}", ""), flush=True)
        for _ in range(arguments.rounds):  # side by side, so that whatever else runs meets all of them
            for name, (_, X) in pipelines(images, Path(scratch) / "cache").items():
                started = time.perf_counter()
                predictors[name].predict_proba(X[-1:])
                times.setdefault(name, []).append(1000 * (time.perf_counter() - started))
        first = statistics.median(next(iter(times.values())))
        for name, of_name in times.items():
            median = statistics.median(of_name)
            print(line.format(name, "", "", "", f"x {median / first:.2f}", f"{median:.1f}"))


def pipelines(images: list[np.ndarray], cache: Path) -> dict[str, tuple[Any, Any]]:
    """Name -> a pipeline, and the table that it takes; all rows have the same first image."""

    def encoder(name: str = "efficientnet_lite0", **parameters: Any) -> featx.ImageEncoder:
        return featx.ImageEncoder(name, cache=str(cache), verbose=0, **parameters)

    def table(front: Any, back: Any = None) -> pd.DataFrame:
        frame = pd.DataFrame({"front": pd.Series(front, dtype=object)})
        return frame if back is None else frame.assign(back=pd.Series(back, dtype=object))

    others = images[1:] + images[:1]
    pairs = [list(pair) for pair in zip(images, others, strict=True)]
    missing = [None if i % 7 == 3 else image for i, image in enumerate(others)]
    imputed = make_pipeline(encoder(on_missing="nan"), SimpleImputer(add_indicator=True))
    rows = {
        "one image": ([(encoder(), "front")], table(images)),
        "two columns, one encoder": ([(encoder(), "front"), (encoder(), "back")], table(images, others)),
        "two columns, the second missing": ([(encoder(), "front"), (imputed, "back")], table(images, missing)),
        "two columns, an encoder for each": (
            [(encoder(), "front"), (encoder("efficientnet_lite1"), "back")],
            table(images, others),
        ),
    }
    for name, second in {"encoders": encoder("efficientnet_lite1"), "layers": encoder(layers="middle")}.items():
        rows[f"two {name} of one column"] = ([(make_union(encoder(), second), "front")], table(images))
    for how in ("mean", "max", "first", "concat"):
        rows[f"two images a row, {how}"] = ([(encoder(combine=how), "front")], table(pairs))
    return {name: (classifier(columns), X) for name, (columns, X) in rows.items()}


def classifier(columns: Sequence[Any]) -> Any:
    return make_pipeline(make_column_transformer(*columns), StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


def measure(model: Any, X: pd.DataFrame, y: np.ndarray, folder: Path) -> tuple[featx.Predictor, float, float]:
    """Return the bundle, the size of its graph in MB, and the largest difference of a probability."""
    half = len(y) // 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", featx.FeatxWarning)
        model.fit(X[:half], y[:half])
        predictor = featx.Predictor(featx.export_bundle(model, folder, sample=X[:32]), n_jobs=1)
        worst = float(np.abs(predictor.predict_proba(X[half:]) - model.predict_proba(X[half:])).max())
    return predictor, (folder / "model.onnx").stat().st_size / 1e6, worst


if __name__ == "__main__":
    main()
