"""Heads made for embeddings: a normaliser and classifiers for few labels, all of them scikit-learn estimators."""

from featx.heads._hold_out import hold_out
from featx.heads._linear_probe import LinearProbe, linear_probe
from featx.heads._normalizer import EmbeddingNormalizer
from featx.heads._prototypes import PrototypeClassifier
from featx.heads._weights import check_weights

__all__ = [
    "EmbeddingNormalizer",
    "LinearProbe",
    "PrototypeClassifier",
    "check_weights",
    "hold_out",
    "linear_probe",
]
