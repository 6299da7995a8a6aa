"""Does transfer help: paired learning curves, a verdict and a page."""

from featx.transfer.report._result import TransferReport
from featx.transfer.report._transfer_report import transfer_report

__all__ = ["TransferReport", "transfer_report"]
