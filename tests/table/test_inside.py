"""Other tools take the frame and the pipeline: save, rank_encoders, audit, transfer_report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV

import featx
from featx.exceptions import ImageWarning, ModelError, ParameterError
from featx.table import images_of
from tests.networks import tiny_encoder
from tests.table.goods import make_goods


@pytest.fixture
def goods():
    return make_goods()


@pytest.fixture
def build(tiny, store):
    def build(head, image="photo", **parameters):
        return featx.tabular_pipeline(head, image=image, encoder=tiny, cache=store, verbose=0, **parameters)

    return build


@pytest.mark.parametrize("target", ["identity", "log"])
def test_a_saved_table_predicts_the_same_with_dates_texts_and_missing_photos(target, goods, tiny, tmp_path):
    frame, brightness = goods
    frame["added"] = pd.date_range("2024-01-01", periods=60)
    frame["text"] = [f"number {i} of {i % 7} and {i * i}" for i in range(60)]
    frame.loc[4, "photo"] = None
    model = featx.tabular_pipeline(Ridge(), image="photo", encoder=tiny, verbose=0, target=target)
    with pytest.warns(ImageWarning):
        model.fit(frame, brightness)
    featx.save(model, tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    with pytest.warns(ImageWarning):
        np.testing.assert_allclose(loaded.predict(frame), model.predict(frame), rtol=1e-5)
    assert loaded["features"].weights_ == model["features"].weights_
    loaded.set_params(features__weight=1.0)
    with pytest.warns(ImageWarning):
        loaded.fit(frame, brightness)


def test_a_type_of_skrub_beside_the_vectorizer_is_not_trusted(tiny, tmp_path):
    from skrub import MinHashEncoder

    model = featx.tabular_pipeline(Ridge(), image="photo", encoder=tiny, verbose=0)
    model.set_params(features__table=MinHashEncoder())
    featx.save(model, tmp_path / "model")
    with pytest.raises(ModelError, match="MinHashEncoder"):
        featx.load(tmp_path / "model")


def test_encoders_are_ranked_inside_of_it(goods, build, store):
    frame, brightness = goods
    encoders = [featx.ImageEncoder(tiny_encoder(seed), cache=store, verbose=0) for seed in (0, 1)]
    table = featx.rank_encoders(frame, brightness, encoders, estimator=build(Ridge()), cv=3)
    assert len(table) == 2
    assert (table["probe"] > 0.8).all()


def test_its_photos_are_audited(goods, build):
    frame = goods[0].copy()
    frame.at[1, "photo"] = frame.at[0, "photo"]
    groups = featx.audit(frame, encoder=build(Ridge()), verbose=0).groups
    assert groups[0] == groups[1]
    search = GridSearchCV(build(Ridge()), {"head__alpha": [1, 2]})
    assert len(featx.audit(frame, encoder=search, verbose=0).groups) == len(frame)


def test_a_transfer_report_says_what_the_photo_adds_to_the_table(goods, build):
    frame, brightness = goods
    y = np.where(brightness + 0.5 * (frame["kind"] == "jar") > 0.7, "dear", "cheap")
    given = {"feature_sets": ["pixels", "pretrained"], "cv": 3, "sizes": [20, 38], "verbose": 0}
    report = featx.transfer_report(frame, y, encoder=build(LogisticRegression()), **given)
    assert list(report.summary.index) == ["pixels", "pretrained", "table only", "both"]
    assert report.summary["score"]["both"] > report.summary["score"]["table only"]
    images = featx.transfer_report(frame["photo"], y, encoder=build(LogisticRegression()), **given)
    assert list(images.summary.index) == ["pixels", "pretrained"]
    assert images.decision == report.decision  # the table has no part in it


def test_only_a_pipeline_of_one_column_of_images_is_taken(goods, build):
    frame, _ = goods
    with pytest.raises(ParameterError, match="without an ImageEncoder"):
        images_of(frame, Ridge())
    with pytest.raises(ParameterError, match="Expected one column of images"):
        images_of(frame, build(Ridge(), image=["photo", "back"]))
    assert images_of(frame, "resnet18") == (frame, "resnet18")
