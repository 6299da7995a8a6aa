"""What is wrong with a set of images and labels: unreadable images, copies, likely wrong labels, outliers."""

from featx.auditing._audit import audit
from featx.auditing._duplicates import crossing_groups, duplicate_groups, warn_of_copies
from featx.auditing._label_issues import LabelIssues, find_label_issues
from featx.auditing._ood import OODDetector
from featx.auditing._result import Audit
from featx.auditing._similarity import Calibration

__all__ = [
    "Audit",
    "Calibration",
    "LabelIssues",
    "OODDetector",
    "audit",
    "crossing_groups",
    "duplicate_groups",
    "find_label_issues",
    "warn_of_copies",
]
