"""A pipeline from a table with photos to predictions: with heads that people use, and never worse than the table."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

import featx
from featx import heads
from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.table import _table_encoder, vectorizer
from tests.table.goods import make_goods


@pytest.fixture
def goods():
    return make_goods()


@pytest.fixture
def build(tiny, store):
    def build(head, **parameters):
        return featx.tabular_pipeline(head, image="photo", encoder=tiny, cache=store, verbose=0, **parameters)

    return build


def test_its_steps_are_the_features_and_the_head(build):
    model = build(Ridge(2.0), target="log")
    assert list(model.named_steps) == ["features", "head"]
    assert model.get_params()["head__regressor__alpha"] == 2.0
    assert model.get_params()["features__encoder__on_missing"] == "nan"
    assert model.get_params()["features__encoder__on_error"] == "raise"
    assert build(Ridge(), on_missing="raise").get_params()["features__encoder__on_missing"] == "raise"


@pytest.mark.parametrize("head", [Ridge(), HistGradientBoostingRegressor(max_iter=30, min_samples_leaf=5)])
@pytest.mark.parametrize("target", ["identity", "log"])
def test_numbers_are_predicted_from_both(head, target, goods, build):
    frame, brightness = goods
    y = np.exp(brightness + (frame["kind"] == "jar").to_numpy())
    assert cross_val_score(build(head, target=target), frame, y, cv=3).mean() > 0.5


@pytest.mark.parametrize(
    "head",
    [
        LogisticRegression(),
        heads.LogisticRegression(),
        heads.LinearProbe(Cs=3),
        HistGradientBoostingClassifier(max_iter=30, min_samples_leaf=5),
    ],
)
def test_classes_are_predicted_from_both(head, goods, build):
    frame, brightness = goods
    y = np.where(brightness > 0.55, "bright", "dark")
    assert cross_val_score(build(head), frame, y, cv=3).mean() > 0.8


def test_lightgbm_is_a_head(goods, build):
    lightgbm = pytest.importorskip("lightgbm")
    frame, brightness = goods
    head = lightgbm.LGBMRegressor(n_estimators=30, min_child_samples=5, n_jobs=1, verbose=-1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")  # LightGBM's own, on arrays
        model = build(head).fit(frame, brightness)
        assert model["features"].weights_ == {"photo": 1.0}
        assert model.score(frame, brightness) > 0.5


def test_a_photo_of_noise_changes_nothing(goods, build):
    """Where its weight is 0 the predictions are those of the table alone."""
    frame, _ = goods
    y = frame["weight"] + (frame["kind"] == "jar")
    both = build(Ridge()).fit(frame, y)
    alone = make_pipeline(vectorizer(), Ridge()).fit(frame[["weight", "kind"]], y)
    assert both["features"].weights_ == {"photo": 0}
    np.testing.assert_allclose(both.predict(frame), alone.predict(frame[["weight", "kind"]]), atol=1e-5)


def test_shuffled_labels_score_at_chance(goods, build):
    """Nothing of a test row's label reaches its features, over seeded draws: R2 is not above 0."""
    frame, brightness = goods
    scores = []
    for seed in range(5):
        draw = np.random.default_rng(seed)
        scores.append(cross_val_score(build(Ridge()), frame, draw.permutation(brightness), cv=KFold(4)).mean())
    error = np.std(scores, ddof=1) / np.sqrt(len(scores))
    assert np.mean(scores) - 2 * error < 0.0


def test_a_grid_searches_its_parts(goods, build, store):
    frame, brightness = goods
    grid = [{"head__alpha": [0.1, 10]}, {"features__weight": ["auto", 1.0], "features__reduce": [2, 4]}]
    search = GridSearchCV(build(Ridge()), grid, cv=3).fit(frame, brightness)
    assert search.score(frame, brightness) > 0.8
    assert store.info()["rows"].tolist() == [len(frame)]


def test_groups_reach_the_weights_where_metadata_is_routed(goods, build, monkeypatch):
    frame, brightness = goods
    groups = np.arange(len(frame)) // 3
    seen = []
    plain = _table_encoder.by_groups
    monkeypatch.setattr(_table_encoder, "by_groups", lambda codes: seen.append(len(set(codes))) or plain(codes))
    cross_val_score(build(Ridge()), frame, brightness, cv=GroupKFold(4), groups=groups)
    assert seen == []
    with config_context(enable_metadata_routing=True):
        cross_val_score(build(Ridge()), frame, brightness, cv=GroupKFold(4), params={"groups": groups})
    assert seen == [15] * 4
    build(Ridge()).fit(frame, brightness, features__groups=groups)
    assert seen[4:] == [20]


@pytest.mark.parametrize("target", ["identity", "log"])
def test_sample_weights_reach_the_head_where_metadata_is_routed(target, goods, build):
    frame, brightness = goods
    weights = np.where(brightness > 0.5, 1.0, 1e-9)
    with config_context(enable_metadata_routing=True):
        model = build(Ridge(), target=target).fit(frame, brightness * 2, sample_weight=weights)
    plain = build(Ridge(), target=target).fit(frame, brightness * 2)
    assert np.abs(model.predict(frame) - plain.predict(frame)).max() > 1e-3


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_frames_between_steps_change_nothing(kind, goods, build):
    frame, brightness = goods
    plain = build(Ridge()).fit(frame, brightness).predict(frame)
    with config_context(transform_output=kind):
        model = build(Ridge()).fit(frame, brightness)
        np.testing.assert_allclose(model.predict(frame), plain, atol=1e-6)
        assert kind in type(model[:-1].transform(frame)).__module__


def test_the_given_estimator_is_not_fitted(goods, build):
    head = Ridge()
    build(head).fit(*goods)
    assert not hasattr(head, "coef_")
    clone(build(head))


def test_what_does_not_fit_is_named(goods, build):
    frame, brightness = goods
    with pytest.raises(ParameterError, match="Expected a regressor"):
        build(LogisticRegression(), target="log")
    with pytest.raises(ParameterError, match="Expected a scikit-learn estimator"):
        build("ridge")
    with pytest.raises(ParameterError, match="Expected a scikit-learn estimator"):
        build(Ridge)
    with pytest.raises(UnknownNameError, match="target"):
        build(Ridge(), target="logarithm")
    with pytest.raises(InputError, match="row 7"):
        build(Ridge(), target="log").fit(frame, np.where(np.arange(len(frame)) == 7, -2.0, brightness))
    with pytest.raises(InputError, match="rows 3"):
        build(Ridge()).fit(frame, np.where(np.arange(len(frame)) == 3, np.nan, brightness))
    with pytest.raises(InputError, match=r"one class|1 class|one label|one value"):
        build(LogisticRegression()).fit(frame, np.repeat("same", len(frame)))


def test_groups_are_routed_beside_a_logarithm(goods, build):
    frame, brightness = goods
    with config_context(enable_metadata_routing=True):
        given = {"cv": GroupKFold(3), "scoring": "r2", "params": {"groups": np.arange(len(frame)) // 3}}
        assert (cross_val_score(build(Ridge(), target="log"), frame, brightness, **given) > 0.5).all()
