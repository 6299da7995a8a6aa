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
from featx.adapt._evaluate import quiet, stack
from featx.adapt._methods import METHODS, DomainScaler, Setting, build, candidates, check_methods, domain_routing
from featx.exceptions import MissingDependencyError, ParameterError, UnknownNameError
from tests.adapt.gaussians import draw_domain

SETTING = Setting(LogisticRegression(), most=8, seed=0)
Zs, Zt = np.random.default_rng(0).normal(size=(2, 20, 3)) * [[[1]], [[5]]] + [[[0]], [[9]]]
X, DOMAIN = np.vstack([Zs, Zt]), np.repeat([1, -1], 20)
DIGITS = load_digits()
IMAGES = list((DIGITS.images[:120] * 255 / 16).astype(np.uint8))
PHOTO_DOMAIN = np.repeat([1, -2], 60)
ROWS = stack(*draw_domain(90, 0), draw_domain(60, 1, moved=True)[0])


def predictions(name, value, rows=ROWS, new=None):
    new = draw_domain(60, 2, moved=True)[0] if new is None else new
    with domain_routing(), quiet():
        model = build(name, value, SETTING).fit(rows.X, rows.y.copy(), sample_domain=rows.domain)
        return model.predict(new, sample_domain=np.full(len(new), -2))


@pytest.mark.parametrize("name", METHODS)
def test_every_value_of_every_method_predicts_classes_of_new_rows(name):
    for value in candidates(name, SETTING):
        assert set(predictions(name, value)) <= {0, 1, 2}


@pytest.mark.parametrize("name", ["standardize", "coral", "ot"])
def test_methods_undo_a_stretch(name):
    truth = draw_domain(60, 2, moved=True)[1]
    gained = (predictions(name, candidates(name, SETTING)[0]) == truth).mean()
    assert gained > (predictions("source", None) == truth).mean() + 0.1


def test_the_source_alone_does_not_see_the_target():
    other = stack(ROWS.X[:90], ROWS.y[:90], 100 + ROWS.X[90:])
    np.testing.assert_array_equal(predictions("source", None), predictions("source", None, other))


@pytest.mark.parametrize("name", METHODS)
def test_new_rows_are_of_the_target_where_no_domain_is_given(name):
    new = draw_domain(60, 2, moved=True)[0]
    with domain_routing(), quiet():
        model = build(name, candidates(name, SETTING)[0], SETTING).fit(ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain)
        np.testing.assert_array_equal(model.predict(new), model.predict(new, sample_domain=np.full(60, -1)))


@pytest.mark.parametrize("name", METHODS)
def test_a_row_that_lies_far_out_is_still_predicted(name):
    far = draw_domain(60, 2, moved=True)[0] * 1e4
    assert set(predictions(name, candidates(name, SETTING)[-1], new=far)) <= {0, 1, 2}


def test_rows_of_the_source_that_lie_far_out_are_still_mapped():
    far = 1e4 * np.eye(8)[:1]
    with domain_routing(), quiet():
        model = build("ot", 0.01, SETTING).fit(ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain)
        assert model.predict(far, sample_domain=np.array([1]), allow_source=True).tolist() == [0]


def test_components_are_no_more_than_there_are():
    assert candidates("subspace", SETTING) == [5, 8]
    assert candidates("subspace", Setting(None, most=100, seed=0)) == [5, 20, 80]


def test_the_source_comes_first_and_each_method_once():
    assert check_methods(["ot", "source", "ot"]) == ("source", "ot")
    assert check_methods("coral") == ("source", "coral")


def test_an_unknown_method_is_named_with_close_ones():
    with pytest.raises(UnknownNameError, match="'deepcoral'"):
        check_methods(["deepcorall"])
    with pytest.raises(UnknownNameError, match="'coral'"):
        check_methods([["coral"]])


def test_something_must_be_compared_with_the_source():
    with pytest.raises(ParameterError, match="at least one"):
        check_methods(["source"])


def test_methods_are_names():
    with pytest.raises(ParameterError, match="methods=None"):
        check_methods(None)


def test_each_domain_is_standardized_by_itself():
    scaled = DomainScaler().fit_transform(X, sample_domain=DOMAIN)
    np.testing.assert_allclose(scaled[:20], StandardScaler().fit_transform(Zs))
    np.testing.assert_allclose(scaled[20:], StandardScaler().fit_transform(Zt))


def test_rows_of_any_order_and_any_label_go_to_their_domain():
    scaler, order = DomainScaler().fit(X, sample_domain=DOMAIN), np.random.default_rng(1).permutation(40)
    mixed = scaler.transform(X[order], sample_domain=3 * DOMAIN[order])
    np.testing.assert_array_equal(mixed, scaler.transform(X, sample_domain=DOMAIN)[order])


def test_rows_without_a_domain_are_of_the_target():
    scaler = DomainScaler().fit(X, sample_domain=DOMAIN)
    np.testing.assert_array_equal(scaler.transform(Zt), scaler.transform(Zt, sample_domain=np.full(20, -1)))


@pytest.fixture
def routing_off():
    """Routing is off before the test, and whatever an import of skada does ends with it."""
    with sklearn.config_context(enable_metadata_routing=False):
        yield


@pytest.fixture
def skada_not_imported(monkeypatch):
    importlib.import_module("skada")
    monkeypatch.delitem(sys.modules, "skada")


def test_importing_skada_leaves_scikit_learn_as_it_was(routing_off, skada_not_imported, monkeypatch):
    with sklearn.config_context(enable_metadata_routing=False):
        with domain_routing() as skada:
            assert skada is sys.modules["skada"]
            assert sklearn.get_config()["enable_metadata_routing"]
        assert not sklearn.get_config()["enable_metadata_routing"]
        monkeypatch.delitem(sys.modules, "skada")
        importlib.import_module("skada")  # alone it would have switched routing on
        assert sklearn.get_config()["enable_metadata_routing"]


def test_routing_is_on_inside_where_skada_was_imported_before(routing_off):
    importlib.import_module("skada")
    with sklearn.config_context(enable_metadata_routing=False):
        with domain_routing():
            assert sklearn.get_config()["enable_metadata_routing"]
        assert not sklearn.get_config()["enable_metadata_routing"]


def test_routing_that_was_on_stays_on(routing_off):
    with sklearn.config_context(enable_metadata_routing=True):
        with domain_routing():
            pass
        assert sklearn.get_config()["enable_metadata_routing"]


def test_routing_ends_with_an_error_too(routing_off):
    with pytest.raises(ZeroDivisionError), domain_routing():
        raise ZeroDivisionError
    assert not sklearn.get_config()["enable_metadata_routing"]


def test_a_missing_skada_is_named_with_its_extra(routing_off, monkeypatch):
    monkeypatch.setitem(sys.modules, "skada", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[adapt\]"), domain_routing():
        pass


def test_an_image_encoder_is_a_step_of_skadas_pipeline(routing_off, tiny):
    y = np.where(PHOTO_DOMAIN > 0, DIGITS.target[:120], -1)
    with domain_routing() as skada:
        encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
        model = skada.make_da_pipeline(encoder, StandardScaler(), skada.CORALAdapter(), LogisticRegression())
        model.fit(IMAGES, y, sample_domain=PHOTO_DOMAIN)
        assert model.predict(IMAGES[60:]).shape == (60,)
        assert model.score(IMAGES[:60], y[:60], sample_domain=PHOTO_DOMAIN[:60], allow_source=True) > 0.3


def test_a_grid_search_over_that_pipeline_is_scored_without_labels(routing_off, tiny):
    from sklearn.model_selection import GridSearchCV

    y = np.where(PHOTO_DOMAIN > 0, DIGITS.target[:120], -1)
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
        grid.fit(np.stack(IMAGES), y, sample_domain=PHOTO_DOMAIN)
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
