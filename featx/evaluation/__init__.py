"""What every comparison stands on: labels that are checked, folds, a score's unit, and how sure a mean is."""

from featx.evaluation._check import check_classes, check_embeddings, check_groups, check_targets, check_y, way_out
from featx.evaluation._folds import Folds, make_folds
from featx.evaluation._interval import fold_interval
from featx.evaluation._task import has_fractions, has_rare_numbers, is_regression
from featx.evaluation._unit import ScoreUnit, unit_of

__all__ = [
    "Folds",
    "ScoreUnit",
    "check_classes",
    "check_embeddings",
    "check_groups",
    "check_targets",
    "check_y",
    "fold_interval",
    "has_fractions",
    "has_rare_numbers",
    "is_regression",
    "make_folds",
    "unit_of",
    "way_out",
]
