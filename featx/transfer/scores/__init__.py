"""How well embeddings fit labels, without training a network."""

from featx.transfer.scores._hscore import hscore
from featx.transfer.scores._knn import knn_score
from featx.transfer.scores._logme import logme_score

__all__ = ["hscore", "knn_score", "logme_score"]
