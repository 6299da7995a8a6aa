"""A regressor learns numbers, in their units."""

from __future__ import annotations

import numpy as np
import pytest

from featx.finetune import FineTuneRegressor, small_encoder


@pytest.mark.parametrize("columns", [1, 2])
def test_numbers_are_learned_in_their_units(digits, columns):
    X, _ = digits
    light = 1000 + X.mean(axis=(1, 2))
    y = light if columns == 1 else np.column_stack([light, X[:, :, :4].mean(axis=(1, 2))])
    model = FineTuneRegressor(
        small_encoder(16, 4), unfreeze="all", epochs=10, learning_rate=3e-3, train_norms=True, validation=0.1, verbose=0
    ).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.5
    assert model.predict(X[200:]).shape == y[200:].shape
    history = model.history_
    assert history["validation_loss"].min() < history["validation_loss"][0]
    assert 0 < history["validation_mae"].min() < y.std()


def test_a_source_of_numbers_is_trained_with(digits):
    X, _ = digits
    y = X.mean(axis=(1, 2))
    model = FineTuneRegressor(small_encoder(16, 4), epochs=1, verbose=0)
    model.fit(X[:40], y[:40], source=(X[40:80], X[40:80, :, :2].mean(axis=2)[:, :2]))
    assert model.predict(X[:5]).shape == (5,)


def test_scikit_learn_is_told_of_several_columns():
    assert FineTuneRegressor().__sklearn_tags__().target_tags.multi_output
