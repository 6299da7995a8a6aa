"""Does transfer help: folds, feature sets, paired learning curves, a decision, and the base class of reports."""

from featx.compare._columns_report import ColumnReport, compare_columns
from featx.compare._decision import (
    HELPS,
    HURTS,
    UNDECIDED,
    UNKNOWN,
    Decision,
    Difference,
    HeldOut,
    decide,
    paired_gain,
    sample_interval,
)
from featx.compare._folds import Fold, check_cv, fix_cv, keep_rows, nested_folds
from featx.compare._learn import FeatureSet, Problem, choose_candidate, learn, make_head
from featx.compare._report import Report, Section, Table
from featx.compare._transfer_report import TransferReport, transfer_report

__all__ = [
    "HELPS",
    "HURTS",
    "UNDECIDED",
    "UNKNOWN",
    "ColumnReport",
    "Decision",
    "Difference",
    "FeatureSet",
    "Fold",
    "HeldOut",
    "Problem",
    "Report",
    "Section",
    "Table",
    "TransferReport",
    "check_cv",
    "choose_candidate",
    "compare_columns",
    "decide",
    "fix_cv",
    "keep_rows",
    "learn",
    "make_head",
    "nested_folds",
    "paired_gain",
    "sample_interval",
    "transfer_report",
]
