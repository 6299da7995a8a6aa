"""Fine-tuning: scikit-learn estimators that tune an encoder to images of one's own; skorch trains."""

from featx.finetune._classifier import FineTuneClassifier
from featx.finetune._regressor import FineTuneRegressor
from featx.finetune._small import small_encoder

__all__ = ["FineTuneClassifier", "FineTuneRegressor", "small_encoder"]
