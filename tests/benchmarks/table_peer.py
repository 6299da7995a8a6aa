"""`tabular_pipeline` beside the same recipe in plain torch (frozen network, scaler, PCA 30): seconds, R2 of the foods.

The recipe is that of tabpfn-extensions' ImageTransformer, whose weights are gated; the network is the same for both,
and the recipe encodes in batches of 32 in each fit and each transform, as a transformer without a cache does. FOLDER is
that of ``python -m tests.benchmarks.foods``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import featx
from featx._image_encoder import extraction_of
from featx.encoders import build_network
from tests.benchmarks.foods import COLUMNS, read_foods

BATCH = 32


class PlainEncoder(TransformerMixin, BaseEstimator):
    """A frozen torch network in eager mode; every call encodes."""

    def fit(self, X: Any, y: Any = None) -> PlainEncoder:
        spec = extraction_of(featx.ImageEncoder()).spec
        self.network_, self.preprocess_ = build_network((spec,)), spec.preprocess
        return self

    def transform(self, X: Any) -> np.ndarray:
        rows = []
        with torch.inference_mode():
            for start in range(0, len(X), BATCH):
                paths = np.asarray(X[start : start + BATCH]).ravel()
                pixels = np.stack([self.preprocess_(Image.open(path).convert("RGB")) for path in paths])
                rows.append(self.network_(torch.from_numpy(pixels))[0].numpy())
        return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    foods = read_foods(parser.parse_args().folder)
    X, y = foods[["photo", *COLUMNS]], foods["enerc"].astype(float)
    steps = make_pipeline(PlainEncoder(), StandardScaler(), PCA(30, random_state=0))
    table = make_pipeline(OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    features = make_column_transformer((steps, "photo"), (table, ["grup"]), (StandardScaler(), ["regn"]))
    plain = TransformedTargetRegressor(make_pipeline(features, Ridge()), func=np.log1p, inverse_func=np.expm1)
    with tempfile.TemporaryDirectory() as cache:
        own = featx.tabular_pipeline(Ridge(), image="photo", target="log", cache=cache, verbose=0)
        for name, model in (("plain torch, PCA 30", plain), ("featx.tabular_pipeline", own)):
            for run in ("cold", "warm"):
                started = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    scores = cross_val_score(model, X, y, cv=GroupKFold(5), groups=foods["genus"], error_score="raise")
                print(f"{name:24} {run} {time.perf_counter() - started:6.1f} s   R2 {scores.mean():.3f}", flush=True)


if __name__ == "__main__":
    main()
