"""Heads made for embeddings: scikit-learn's two, fitted sooner, and some for few labels."""

from featx.heads._linear_probe import LinearProbe, linear_probe
from featx.heads._logistic import LogisticRegression
from featx.heads._normalizer import EmbeddingNormalizer
from featx.heads._prototypes import PrototypeClassifier
from featx.heads._svc import SVC

__all__ = ["SVC", "EmbeddingNormalizer", "LinearProbe", "LogisticRegression", "PrototypeClassifier", "linear_probe"]
