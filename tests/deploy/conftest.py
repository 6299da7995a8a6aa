"""Bundles that are served, and a service of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import featx
from tests.deploy.serving import HTML_LABEL, Running, as_file


@pytest.fixture(scope="session")
def jpegs(crops) -> list[bytes]:
    return [as_file(crop, quality=90) for crop in crops]


@pytest.fixture(scope="session")
def served_bundle(tiny, crops, tmp_path_factory) -> Path:
    """Two classes, one of them named in HTML."""
    labels = np.array([HTML_LABEL] * 20 + ["plain"] * 20)
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, labels)
    return featx.export_bundle(model, tmp_path_factory.mktemp("served") / "bundle").folder


@pytest.fixture(scope="session")
def table_bundle(tiny, crops, tmp_path_factory) -> Path:
    """Images, a number and a category."""
    table = pd.DataFrame({"photo": crops, "price": np.arange(40.0), "shop": ["east", "west"] * 20})
    columns = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=False, verbose=0), "photo"),
        (StandardScaler(), ["price"]),
        (OneHotEncoder(), ["shop"]),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, np.arange(40) // 20)
    return featx.export_bundle(model, tmp_path_factory.mktemp("table") / "bundle").folder


@pytest.fixture(scope="session")
def service(served_bundle, tmp_path_factory) -> Iterator[Running]:
    """A service with limits that a test can reach; its log begins with what it imports."""
    limits = ["--max-images", "4", "--max-bytes", "1MB", "--max-pixels", "1000000", "--timeout", "1"]
    with Running(
        served_bundle, tmp_path_factory.mktemp("log") / "log", *limits, python=("-X", "importtime")
    ) as running:
        yield running
