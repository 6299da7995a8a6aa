"""Fine-tuning: scikit-learn estimators that tune an encoder to the user's images; skorch trains."""

from featx.finetune._aware import TargetAwareEncoder
from featx.finetune._estimator import FineTuneClassifier, FineTuneRegressor
from featx.finetune._tunable import small_encoder

__all__ = ["FineTuneClassifier", "FineTuneRegressor", "TargetAwareEncoder", "small_encoder"]
