"""How well embeddings fit labels, without training a network; and how far apart two sets of embeddings are."""

from featx.scores._discriminant import hscore, lda_score
from featx.scores._domain_distance import ProxyADistance, proxy_a_distance
from featx.scores._knn import knn_score
from featx.scores._logme import logme_score
from featx.scores._probe import probe_score
from featx.scores._source import leep_score, nce_score

__all__ = [
    "ProxyADistance",
    "hscore",
    "knn_score",
    "lda_score",
    "leep_score",
    "logme_score",
    "nce_score",
    "probe_score",
    "proxy_a_distance",
]
