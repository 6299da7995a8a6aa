"""Out of the notebook: bundle -> predictions, never torch (here); pipeline -> bundle (export); over HTTP (service)."""

from featx.deploy._bundle import read_bundle
from featx.deploy._engine import plain
from featx.deploy._predictor import Predictor

__all__ = ["Predictor", "plain", "read_bundle"]
