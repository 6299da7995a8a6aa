"""What every comparison builds on: checked inputs, the kind of task, folds, intervals, and the unit of a metric."""

from featx.evaluation._folds import Folds, fold_interval, hold_out, make_folds
from featx.evaluation._metric import ScoreUnit, tied_accuracy, unit_of
from featx.evaluation._model_scores import ModelScores, as_model_scores, count_targets, describe_folds, finite_rows
from featx.evaluation._reliability import calibration_error, reliability
from featx.evaluation._score_folds import score, score_folds
from featx.evaluation._targets import (
    as_array,
    as_labels,
    check_classes,
    check_embeddings,
    check_groups,
    check_is_no_name,
    check_targets,
    check_weights,
    check_y,
    has_fractions,
    has_rare_numbers,
    is_regression,
    regression_hint,
)

__all__ = [
    "Folds",
    "ModelScores",
    "ScoreUnit",
    "as_array",
    "as_labels",
    "as_model_scores",
    "calibration_error",
    "check_classes",
    "check_embeddings",
    "check_groups",
    "check_is_no_name",
    "check_targets",
    "check_weights",
    "check_y",
    "count_targets",
    "describe_folds",
    "finite_rows",
    "fold_interval",
    "has_fractions",
    "has_rare_numbers",
    "hold_out",
    "is_regression",
    "make_folds",
    "regression_hint",
    "reliability",
    "score",
    "score_folds",
    "tied_accuracy",
    "unit_of",
]
