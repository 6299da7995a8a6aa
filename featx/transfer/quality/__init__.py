"""What is wrong with a set of images and labels: copies, likely wrong labels, outliers."""

from featx.transfer.quality._audit import audit
from featx.transfer.quality._calibration import Calibration
from featx.transfer.quality._duplicates import crossing_groups, duplicate_groups
from featx.transfer.quality._label_issues import LabelIssues, find_label_issues
from featx.transfer.quality._ood import OODDetector
from featx.transfer.quality._result import Audit

__all__ = [
    "Audit",
    "Calibration",
    "LabelIssues",
    "OODDetector",
    "audit",
    "crossing_groups",
    "duplicate_groups",
    "find_label_issues",
]
