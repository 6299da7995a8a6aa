"""What follows the encoders: a head in ONNX, or one that stays scikit-learn's."""

from featx.deploy.export.heads import (  # noqa: F401 - they register what they write
    _boosting,
    _calibration,
    _columns,
    _ensembles,
    _linear,
    _neighbors,
    _targets,
    _trees,
)
from featx.deploy.export.heads._convert import Conversion, HeadGraph, convert_head
from featx.deploy.export.heads._equivalents import equivalents
from featx.deploy.export.heads._keep import dump_head
from featx.deploy.export.heads._proven import find_tree, find_unproven

__all__ = ["Conversion", "HeadGraph", "convert_head", "dump_head", "equivalents", "find_tree", "find_unproven"]
