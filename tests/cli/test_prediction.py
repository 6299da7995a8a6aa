from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import featx
from featx.cli._prediction import _label, predict
from featx.exceptions import InputError


@pytest.fixture
def encoder(tiny):
    return featx.ImageEncoder(tiny, cache=False)


def test_a_pipeline_embeds_each_image_once(encoder, files, caplog):
    model = make_pipeline(encoder, LogisticRegression()).fit(files, ["a", "b"] * 6)
    caplog.set_level("INFO", "featx")
    answers = _label(model, files)
    assert "".join(record.getMessage() for record in caplog.records).count("encoded=12") == 1
    assert [label for label, _ in answers] == model.predict(files).tolist()
    assert [probability for _, probability in answers] == pytest.approx(model.predict_proba(files).max(axis=1))


def test_a_search_is_a_model_too(encoder, files):
    search = GridSearchCV(make_pipeline(encoder, LogisticRegression()), {"logisticregression__C": [1]}, cv=2)
    assert [label for label, _ in _label(search.fit(files, [3, 5] * 6), files)] == search.predict(files).tolist()


def test_dates_are_text(encoder, files):
    dates = np.array(["2024-01-01", "2024-06-01"] * 6, "datetime64[ns]")
    for head in (LogisticRegression(), LinearSVC()):
        answers = _label(make_pipeline(encoder, head).fit(files, dates), files)
        assert {label for label, _ in answers} == {"2024-01-01", "2024-06-01"}


def test_the_probability_is_that_of_the_label_not_the_largest(encoder, files):
    head = FixedThresholdClassifier(LogisticRegression(), threshold=0.99, response_method="predict_proba")
    model = make_pipeline(encoder, head).fit(files, ["a", "b"] * 6)
    answers = _label(model, files)
    assert {label for label, _ in answers} == {"a"}
    assert [probability for _, probability in answers] == pytest.approx(model.predict_proba(files)[:, 0])


def test_a_model_that_is_not_there_or_a_file_is_named(files):
    with pytest.raises(InputError, match="nowhere is not there"):
        predict("nowhere", files)
    with pytest.raises(InputError, match=r"is a file\. Expected the folder of a model"):
        predict(files[0], files)
