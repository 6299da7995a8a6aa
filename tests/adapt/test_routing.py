from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import featx
from featx.adapt._routing import domain_routing
from featx.exceptions import MissingDependencyError

DIGITS = load_digits()
IMAGES = list((DIGITS.images[:120] * 255 / 16).astype(np.uint8))
DOMAIN = np.repeat([1, -2], 60)


@pytest.fixture(autouse=True)
def routing_off():
    """Routing is off before each test, and whatever an import of skada does ends with it."""
    with sklearn.config_context(enable_metadata_routing=False):
        yield


@pytest.fixture
def skada_not_imported(monkeypatch):
    importlib.import_module("skada")
    monkeypatch.delitem(sys.modules, "skada")


def test_importing_skada_leaves_scikit_learn_as_it_was(skada_not_imported, monkeypatch):
    with sklearn.config_context(enable_metadata_routing=False):
        with domain_routing() as skada:
            assert skada is sys.modules["skada"]
            assert sklearn.get_config()["enable_metadata_routing"]
        assert not sklearn.get_config()["enable_metadata_routing"]
        monkeypatch.delitem(sys.modules, "skada")
        importlib.import_module("skada")  # alone it would have switched routing on
        assert sklearn.get_config()["enable_metadata_routing"]


def test_routing_is_on_inside_where_skada_was_imported_before():
    importlib.import_module("skada")
    with sklearn.config_context(enable_metadata_routing=False):
        with domain_routing():
            assert sklearn.get_config()["enable_metadata_routing"]
        assert not sklearn.get_config()["enable_metadata_routing"]


def test_routing_that_was_on_stays_on():
    with sklearn.config_context(enable_metadata_routing=True):
        with domain_routing():
            pass
        assert sklearn.get_config()["enable_metadata_routing"]


def test_routing_ends_with_an_error_too():
    with pytest.raises(ZeroDivisionError), domain_routing():
        raise ZeroDivisionError
    assert not sklearn.get_config()["enable_metadata_routing"]


def test_a_missing_skada_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skada", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[adapt\]"), domain_routing():
        pass


def test_an_image_encoder_is_a_step_of_skadas_pipeline(tiny):
    y = np.where(DOMAIN > 0, DIGITS.target[:120], -1)
    with domain_routing() as skada:
        encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
        model = skada.make_da_pipeline(encoder, StandardScaler(), skada.CORALAdapter(), LogisticRegression())
        model.fit(IMAGES, y, sample_domain=DOMAIN)
        assert model.predict(IMAGES[60:]).shape == (60,)
        assert model.score(IMAGES[:60], y[:60], sample_domain=DOMAIN[:60], allow_source=True) > 0.3


def test_a_grid_search_over_that_pipeline_is_scored_without_labels(tiny):
    from sklearn.model_selection import GridSearchCV

    y = np.where(DOMAIN > 0, DIGITS.target[:120], -1)
    with domain_routing() as skada:
        encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
        model = skada.make_da_pipeline(encoder, skada.SubspaceAlignmentAdapter(), LogisticRegression(max_iter=2000))
        folds = skada.model_selection.SourceTargetShuffleSplit(n_splits=1, test_size=0.5, random_state=0)
        grid = GridSearchCV(
            model,
            {"subspacealignmentadapter__n_components": [2, 4]},
            scoring=skada.metrics.PredictionEntropyScorer(),
            cv=folds,
        )
        grid.fit(np.stack(IMAGES), y, sample_domain=DOMAIN)
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
