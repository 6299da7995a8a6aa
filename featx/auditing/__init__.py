"""What is wrong with a set of images and labels: unreadable images, copies, likely wrong labels, outliers."""

from featx.auditing._audit import audit, copy_groups
from featx.auditing._duplicates import crossing_groups, duplicate_groups, merge_groups, warn_of_copies
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
    "copy_groups",
    "crossing_groups",
    "duplicate_groups",
    "find_label_issues",
    "merge_groups",
    "warn_of_copies",
]
