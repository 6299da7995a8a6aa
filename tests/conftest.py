"""Fixtures that all tests share: real images, a tiny network, and cache folders for each test."""

from __future__ import annotations

import gc
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Tests in parallel share the cores: threads of their own would only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image
from sklearn.datasets import load_sample_images

import featx

# A busy machine is slow, which is no failure; the same examples each time, unless new ones are asked for.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("featx", derandomize=True, **PATIENT)
settings.register_profile("explore", **PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "featx"))

TORCHS_OWN_SEED = 67280421310721


def pytest_collection_finish():
    """Let no search for garbage go through a million objects that stay: the modules and the tests."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Let every test, with its fixtures, draw what it draws alone, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # what scikit-learn draws from where no random_state is given
    if torch := sys.modules.get("torch"):
        torch.manual_seed(TORCHS_OWN_SEED)  # as in a process that imports it later
    if memory := sys.modules.get("fsspec.implementations.memory"):
        memory.MemoryFileSystem.store.clear()


@pytest.fixture(scope="session")
def graphs(tmp_path_factory) -> Path:
    """Converted networks, which tests in all processes share: making one takes seconds."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "graphs"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def users(tmp_path_factory) -> Path:
    """Where each test has folders of its own: among its own, pytest looks through all for the next one's number."""
    return tmp_path_factory.mktemp("users")


@pytest.fixture(autouse=True)
def own_folders(users, graphs, monkeypatch):
    """No test reads or writes this user's caches."""
    folder = Path(tempfile.mkdtemp(dir=users))
    (folder / "cache" / "featx").mkdir(parents=True)
    (folder / "cache" / "featx" / "graphs").symlink_to(graphs)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("FEATX_CACHE", str(folder / "embeddings"))
    return folder


@pytest.fixture
def short_timings(monkeypatch):
    """Rates are measured briefly, for tests that are not about how exact they are."""
    monkeypatch.setattr("featx.extraction._rate._SECONDS", 0.01)


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """Two real photos, uint8 (427, 640, 3)."""
    return list(load_sample_images().images)


@pytest.fixture(scope="session")
def crops(photos) -> list[np.ndarray]:
    """Forty distinct crops of the photos, uint8 (120, 160, 3)."""
    corners = [(y, x) for y in range(0, 300, 75) for x in range(0, 480, 96)]
    return [np.ascontiguousarray(photo[y : y + 120, x : x + 160]) for photo in photos for y, x in corners]


@pytest.fixture
def files(crops, tmp_path) -> list[str]:
    """Twelve of the crops as JPEG files."""
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{i:02}.jpg" for i in range(12)]
    for path, crop in zip(paths, crops, strict=False):
        Image.fromarray(crop).save(path, quality=90)
    return [str(path) for path in paths]


@pytest.fixture(scope="session")
def tiny() -> featx.Encoder:
    """A small network with random weights, for tests that are not about the numbers."""
    from tests.networks import tiny_encoder

    return tiny_encoder()


@pytest.fixture
def store(tmp_path) -> featx.EmbeddingStore:
    return featx.EmbeddingStore(tmp_path / "store")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's browser, which the tests of a file share: it takes a second to start."""
    from tests.pages.browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent
