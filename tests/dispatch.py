"""Heads, labels and scorers inside array API dispatch: a process of its own, since SCIPY_ARRAY_API is read at import.

``python -m tests.dispatch FOLDER`` prints what became of each as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.tree import DecisionTreeClassifier

import featx
from featx.heads import EmbeddingNormalizer, LinearProbe, PrototypeClassifier
from tests.networks import tiny_encoder

CODES = np.arange(48) % 3
NAMES = np.array(["cat", "dog", "fox"])[CODES]
LABELS = {
    "ndarray of int": CODES,
    "ndarray of float": CODES.astype(float),
    "ndarray of str": NAMES,
    "ndarray of bool": CODES == 1,
    "list of int": CODES.tolist(),
    "list of str": NAMES.tolist(),
    "list of bool": (CODES == 1).tolist(),
    "Series of int": pd.Series(CODES),
    "Series of float": pd.Series(CODES.astype(float)),
    "Series of bool": pd.Series(CODES == 1),
    "Series of Int64": pd.Series(CODES, dtype="Int64"),
    "Series of str": pd.Series(NAMES),
    "Series of object": pd.Series(NAMES, dtype=object),
    "Series of string": pd.Series(NAMES, dtype="string[python]"),
    "Series of category": pd.Series(NAMES, dtype="category"),
}
HEADS = {
    "logistic": "logistic",
    "svm": "svm",
    "ridge": "ridge",
    "probe": LinearProbe(3),
    "prototype": "prototype",
    "discriminant": LinearDiscriminantAnalysis(),
    "ridge classifier": RidgeClassifier(),
    "tree": DecisionTreeClassifier(random_state=0),
}
CELLS = [
    (head, kind)
    for head in HEADS
    for kind, labels in LABELS.items()
    if head != "ridge" or np.issubdtype(np.asarray(labels).dtype, np.number)
]
# The second of each is none that scikit-learn can compute with tensors.
OF_CLASSES = ("accuracy", "matthews_corrcoef")
OF_PROBABILITIES = ("neg_log_loss", "roc_auc_ovr", "top_k_accuracy", "balanced_accuracy", "f1_macro")
OF_NUMBERS = ("r2", "neg_median_absolute_error")


def images() -> list[np.ndarray]:
    """Noise of three contrasts."""
    random = np.random.default_rng(0)
    return [random.integers(0, 60 + 40 * code, (32, 32, 3), dtype=np.uint8) for code in CODES]


def pipeline(head: Any, folder: Path) -> Any:
    return featx.image_pipeline(head, encoder=tiny_encoder(), cache=folder / "store", n_jobs=1, verbose=0)


def scores(model: Any, X: Any, y: Any) -> dict[str, list[float]]:
    """Of each fold, by each scorer."""
    found = cross_validate(model, X, y, cv=2, scoring=OF_NUMBERS if is_regressor(model) else OF_CLASSES)
    return {name: values.tolist() for name, values in found.items() if name.startswith("test_")}


def table(X: Any, folder: Path) -> dict[str, Any]:
    cells = {}
    for head, given in HEADS.items():
        model = pipeline(given, folder)
        expected: dict[int, Any] = {}  # whatever the labels' type, the folds' scores are those of the same classes
        for kind, y in LABELS.items():
            if (head, kind) not in CELLS:
                continue
            n_classes, labels = len(set(y)), clone(model).fit(X, y).predict(X).tolist()
            if n_classes not in expected:
                expected[n_classes] = scores(model, X, y)
            with config_context(array_api_dispatch=True):
                fitted = clone(model).fit(X, y)
                got = {"labels": fitted.predict(X).tolist(), "scores": scores(model, X, y)}
            cells[f"{head}, {kind}"] = {
                "expected": {"labels": labels, "scores": expected[n_classes]},
                "got": got,
                "outside": fitted.predict(X).tolist(),
            }
    return cells


def grids(X: Any, folder: Path) -> dict[str, dict[str, list[float]]]:
    """The two candidates' scores; the first one is bad, and what a search of NaN scores takes."""
    grid = GridSearchCV(pipeline("logistic", folder), {"head__C": [1e-6, 1.0]}, cv=2, refit=False)
    found = {}
    with config_context(array_api_dispatch=True):
        for kind, y in LABELS.items():
            names = OF_CLASSES + (OF_PROBABILITIES if len(set(y)) == 3 else ())
            results = clone(grid).set_params(scoring=names).fit(X, y).cv_results_
            found[kind] = {name: results[f"mean_test_{name}"].tolist() for name in names}
    return found


def refusals(X: Any, folder: Path) -> dict[str, str]:
    """What is said of tensors."""
    rows, codes = np.random.default_rng(0).normal(size=(48, 4)), torch.from_numpy(CODES)
    tensor = torch.from_numpy(rows)
    model = pipeline("logistic", folder)
    asked: dict[str, Callable[[], Any]] = {
        "y of a grid": lambda: GridSearchCV(model, {"head__C": [1e-6, 1.0]}, cv=3).fit(X, codes),
        "y of a pipeline": lambda: model.fit(X, codes),
        "y of texts": lambda: featx.TextEncoder().fit(["a"], codes[:1]),
    }
    for head in (LinearProbe(3), PrototypeClassifier(), EmbeddingNormalizer(), featx.OODDetector()):
        fitted, name = clone(head).fit(rows, CODES), type(head).__name__
        use = getattr(fitted, "predict", None) or fitted.transform
        asked[f"X of {name}"] = lambda head=head: head.fit(tensor, CODES)
        asked[f"new X of {name}"] = lambda use=use: use(tensor)
        use(tensor)  # outside dispatch it is as good as an array
    for head in (LinearProbe(3), PrototypeClassifier(), featx.OODDetector("mahalanobis")):
        asked[f"y of {type(head).__name__}"] = lambda head=head: head.fit(rows, codes)
    said = {}
    with config_context(array_api_dispatch=True):
        for name, call in asked.items():
            try:
                call()
                said[name] = "nothing"
            except ValueError as error:
                said[name] = str(error)
    return said


def leave(X: Any, folder: Path) -> dict[str, Any]:
    """A pipeline that was fitted there is saved and exported."""
    with config_context(array_api_dispatch=True):
        model = pipeline("logistic", folder).fit(X, NAMES)
    featx.save(model, folder / "model")
    featx.export_bundle(model, folder / "bundle", sample=X)
    return {
        "pipeline": model.predict(X).tolist(),
        "model": featx.load(folder / "model").predict(X).tolist(),
        "bundle": featx.Predictor(folder / "bundle").predict(X).tolist(),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    out = Path(sys.argv[1])
    parts = {"table": table, "grids": grids, "refusals": refusals, "leave": leave}
    print(json.dumps({name: part(images(), out) for name, part in parts.items()}))
