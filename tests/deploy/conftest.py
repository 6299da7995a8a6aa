"""Bundles of the tiny network, which tests share: making one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import featx
from tests.deploy.service.serving import HTML_LABEL, Running, as_file


@pytest.fixture(scope="session")
def places(crops) -> np.ndarray:
    """Which photo a crop is of."""
    return np.repeat(["china", "flower"], len(crops) // 2)


@pytest.fixture(scope="session")
def model(tiny, crops, places) -> Pipeline:
    """A fitted pipeline of two classes."""
    return featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, places)


@pytest.fixture(scope="session")
def bundle(model, tmp_path_factory) -> featx.deploy._bundle.Bundle:
    return featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture(scope="session")
def encoder_bundle(tiny, crops, tmp_path_factory) -> featx.deploy._bundle.Bundle:
    """A bundle that only embeds."""
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0).fit(crops)
    return featx.export_bundle(encoder, tmp_path_factory.mktemp("bundles") / "encoder")


@pytest.fixture(scope="session")
def two_labels_bundle(tiny, crops, places, tmp_path_factory) -> featx.deploy._bundle.Bundle:
    """A bundle of two outputs, each a text."""
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    labels = np.stack([places, np.resize(["even", "odd", "other"], len(crops))], axis=1)
    model = make_pipeline(encoder, KNeighborsClassifier(1)).fit(crops, labels)
    return featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "two")


@pytest.fixture(scope="session")
def tags_bundle(tiny, crops, places, tmp_path_factory) -> featx.deploy._bundle.Bundle:
    """A bundle of three tags, of which an image may have any number."""
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    tags = np.stack([places == "china", places == "flower", np.arange(len(crops)) % 3 == 0], axis=1).astype(int)
    model = make_pipeline(encoder, OneVsRestClassifier(LogisticRegression())).fit(crops, tags)
    return featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "tags")


@pytest.fixture(scope="session")
def goods(crops) -> pd.DataFrame:
    """The crops beside a number and a category."""
    n = len(crops)
    return pd.DataFrame({"photo": crops, "price": np.linspace(1, 9, n), "colour": ["red", "green"] * (n // 2)})


@pytest.fixture(scope="session")
def table_model(tiny, goods, places) -> Pipeline:
    columns = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=False, verbose=0), "photo"),
        (StandardScaler(), ["price"]),
        (OneHotEncoder(), ["colour"]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(goods, places)


@pytest.fixture(scope="session")
def table_bundle(table_model, tmp_path_factory) -> featx.deploy._bundle.Bundle:
    return featx.export_bundle(table_model, tmp_path_factory.mktemp("bundles") / "table")


@pytest.fixture(scope="session")
def jpegs(crops) -> list[bytes]:
    """The crops as files."""
    return [as_file(crop, quality=90) for crop in crops]


@pytest.fixture(scope="session")
def served_bundle(tiny, crops, tmp_path_factory) -> Path:
    """A bundle's folder; one of its two labels is HTML."""
    places = np.array([HTML_LABEL, "plain"]).repeat(len(crops) // 2)
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, places)
    return featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "served").folder


@pytest.fixture(scope="session")
def service(served_bundle, tmp_path_factory) -> Iterator[Running]:
    """A service with limits that a test can reach; its log begins with what it imports."""
    limits = ["--max-images", "4", "--max-bytes", "1MB", "--max-pixels", "1000000", "--timeout", "1"]
    log = tmp_path_factory.mktemp("log") / "log"
    with Running(served_bundle, log, *limits, python=("-X", "importtime")) as running:
        yield running
