"""A source with labels, a target without: what domain adaptation gains on embeddings."""

from featx.adapt._adaptation_report import adaptation_report
from featx.adapt._result import AdaptationReport

__all__ = ["AdaptationReport", "adaptation_report"]
