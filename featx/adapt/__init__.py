"""Domain adaptation on embeddings: what it gains on a target without labels, from a source with labels."""

from featx.adapt._adaptation_report import AdaptationReport, adaptation_report

__all__ = ["AdaptationReport", "adaptation_report"]
