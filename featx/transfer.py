"""The namespace of transfer learning's measures: scores, rankings, audits and reports."""

from featx._precompute import precompute
from featx.auditing import Audit, OODDetector, audit
from featx.compare import TransferReport, transfer_report
from featx.heads import EmbeddingNormalizer, PrototypeClassifier, linear_probe
from featx.ranking import rank_encoders
from featx.scores import (
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
