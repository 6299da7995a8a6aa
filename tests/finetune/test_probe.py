"""The probe's weights are of the embeddings as they are."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from featx.finetune._probe import fit_probe


def test_the_weights_give_what_the_model_gives():
    random = np.random.default_rng(0)
    Z = 5 + 3 * random.normal(size=(60, 4))
    y = np.argmax(Z[:, :3], axis=1)
    model = LogisticRegression()
    coef, intercept = fit_probe(model, Z, y, np.ones(60))
    given = model.decision_function((Z - Z.mean(0)) / np.sqrt(Z.var(0).mean()))
    np.testing.assert_allclose(Z @ coef.T + intercept, given, atol=1e-8)


def test_a_column_that_hardly_varies_gets_no_large_weight():
    random = np.random.default_rng(0)
    y = np.arange(100) % 2
    Z = np.column_stack([random.normal(size=100) + y, 1e-3 * (random.normal(size=100) + y)])
    coef, _ = fit_probe(LogisticRegression(), Z, y, np.ones(100))
    assert abs(coef[0, 1]) < abs(coef[0, 0])


def test_weights_of_rows_count():
    Z, y = np.array([[0.0], [1.0], [1.0]]), np.array([0, 0, 1])
    heavy = [fit_probe(LogisticRegression(), Z, y, np.array([1, 1, w]))[1][0] for w in (1.0, 100.0)]
    assert heavy[1] > heavy[0]


def test_embeddings_that_are_all_the_same_do_no_harm():
    coef, _ = fit_probe(LogisticRegression(), np.ones((4, 2)), np.array([0, 0, 1, 1]), np.ones(4))
    assert coef == pytest.approx(np.zeros((1, 2)))
