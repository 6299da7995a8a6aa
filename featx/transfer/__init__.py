"""Which encoder, which layer, and does transfer help at all: (embeddings, y) -> numbers, tables, reports."""

from featx.heads import EmbeddingNormalizer, PrototypeClassifier, linear_probe
from featx.transfer._precompute import precompute
from featx.transfer.quality import Audit, OODDetector, audit
from featx.transfer.ranking import rank_encoders
from featx.transfer.report import TransferReport, transfer_report
from featx.transfer.scores import (
    ProxyADistance,
    hscore,
    knn_score,
    lda_score,
    leep_score,
    logme_score,
    nce_score,
    probe_score,
    proxy_a_distance,
)

__all__ = [
    "Audit",
    "EmbeddingNormalizer",
    "OODDetector",
    "PrototypeClassifier",
    "ProxyADistance",
    "TransferReport",
    "audit",
    "hscore",
    "knn_score",
    "lda_score",
    "leep_score",
    "linear_probe",
    "logme_score",
    "nce_score",
    "precompute",
    "probe_score",
    "proxy_a_distance",
    "rank_encoders",
    "transfer_report",
]
