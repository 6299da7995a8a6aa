"""Heads made for embeddings: a normalizer and classifiers for few labels, all of them scikit-learn estimators."""

from featx.heads._linear_probe import LinearProbe, linear_probe
from featx.heads._normalizer import EmbeddingNormalizer
from featx.heads._prototypes import PrototypeClassifier

__all__ = ["EmbeddingNormalizer", "LinearProbe", "PrototypeClassifier", "linear_probe"]
