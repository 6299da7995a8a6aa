from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_score

from featx.cli._scores import cross_validate, format_scores, score, split_folds

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(60, 5)).astype("float32")
LABELS = np.where(EMBEDDINGS[:, 0] + RNG.normal(size=60) > 0, "cat", "dog")


def test_folds_are_stratified_shuffled_and_scikit_learns_own():
    table = cross_validate(LogisticRegression(), EMBEDDINGS, LABELS, split_folds(LogisticRegression(), LABELS, 4))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    for name, scoring in (("accuracy",) * 2, ("balanced_accuracy",) * 2, ("macro_f1", "f1_macro")):
        expected = cross_val_score(LogisticRegression(), EMBEDDINGS, LABELS, cv=folds, scoring=scoring)
        np.testing.assert_allclose(table[name], expected)
    assert table.index.tolist() == ["fold 1", "fold 2", "fold 3", "fold 4"]
    assert table["images"].sum() == 60
    assert (table["seconds"] > 0).all()


def test_cross_validation_leaves_the_head_unfitted():
    head = LogisticRegression()
    cross_validate(head, EMBEDDINGS, LABELS, split_folds(head, LABELS, 3))
    assert not hasattr(head, "coef_")


def test_a_label_that_a_split_lacks_is_no_warning():
    head = LogisticRegression().fit(EMBEDDINGS, LABELS)
    cats = LABELS == "cat"
    found = score(head, EMBEDDINGS[cats], LABELS[cats])
    predicted = head.predict(EMBEDDINGS[cats])
    assert (predicted == "dog").any()
    assert found["accuracy"] == found["balanced_accuracy"] == (predicted == "cat").mean()
    assert found["macro_f1"] == f1_score(LABELS[cats], predicted, average="macro", zero_division=0)


def test_the_rare_label_counts_as_much_in_balanced_accuracy():
    head = LogisticRegression().fit(EMBEDDINGS, LABELS)
    rows = np.r_[np.flatnonzero(LABELS == "cat"), np.flatnonzero(LABELS == "dog")[:3]]
    found = score(head, EMBEDDINGS[rows], LABELS[rows])
    assert found["balanced_accuracy"] == balanced_accuracy_score(LABELS[rows], head.predict(EMBEDDINGS[rows]))


def test_a_regressor_is_scored_by_its_errors():
    y = EMBEDDINGS[:, 0] * 2.0
    table = cross_validate(Ridge(1e-6), EMBEDDINGS, y, split_folds(Ridge(), y, 3))
    assert (table["r2"] > 0.999).all()
    assert (table[["mae", "rmse"]] < 1e-2).all(axis=None)
    assert np.isnan(score(Ridge().fit(EMBEDDINGS, y), EMBEDDINGS[:1], y[:1])["r2"])


@pytest.mark.parametrize("n_splits", [0, 1])
def test_the_table_has_the_mean_and_deviation_after_the_folds(n_splits):
    folds = cross_validate(LogisticRegression(), EMBEDDINGS, LABELS, split_folds(LogisticRegression(), LABELS, 2))
    splits = pd.DataFrame([{"images": 1234, "accuracy": 0.5, "balanced_accuracy": 1, "macro_f1": 0, "seconds": 0}])
    splits.index = ["test"]
    lines = format_scores(folds, splits[:n_splits]).splitlines()
    expected = ["images", "fold", "fold", "mean", "test"][: 4 + n_splits]
    assert [line.split()[0] for line in lines] == expected
    assert f"{folds['accuracy'].mean():.3f} +- {folds['accuracy'].std(ddof=0):.3f}" in lines[3]
    if n_splits:
        assert lines[4].split()[1:3] == ["1,234", "0.500"]


def test_splits_alone_are_a_table_too():
    splits = pd.DataFrame([{"images": 3, "accuracy": 0.5}], index=["test"])
    assert "mean" not in format_scores(pd.DataFrame(), splits)
