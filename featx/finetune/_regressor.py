"""FineTuneRegressor: a pretrained network tuned to numbers of one's own."""

from __future__ import annotations

from typing import Any

from sklearn.base import RegressorMixin

from featx.finetune._estimator import FineTuner
from featx.finetune._numbers import Numbers


class FineTuneRegressor(RegressorMixin, FineTuner):
    """Tune the last layers of a pretrained network to numbers, of one column or several.

    As `FineTuneClassifier`, with ridge regression on the embeddings as the start of the head and the mean squared
    error of standardised targets as the loss.

    Parameters
    ----------
    encoder, weights, preprocess, unfreeze, start, epochs, batch_size, learning_rate, layer_decay, weight_decay, \
    warmup, augment, train_norms, validation, patience, source_weight, checkpoint, device, precision, cache, on_error, \
    on_missing, random_state, verbose
        As for `FineTuneClassifier`.

    Attributes
    ----------
    encoder_ : Encoder
        The tuned encoder.
    head_ : LinearRegression
        The tuned head, in the units of y.
    history_ : pandas.DataFrame
        As `FineTuneClassifier` has it, with validation_mae, the mean absolute error in the units of y.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.finetune import FineTuneRegressor, small_encoder
    >>> X = np.random.default_rng(0).integers(0, 200, (20, 16, 16), dtype=np.uint8)
    >>> y = X.mean(axis=(1, 2))
    >>> FineTuneRegressor(small_encoder(16), epochs=2).fit(X, y).predict(X).shape
    (20,)
    """

    _labels = Numbers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
