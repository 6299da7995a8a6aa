"""Predict with a bundle, without torch; `export` writes bundles, and `service` offers one over HTTP."""

from featx.deploy._bundle import plain, read_bundle
from featx.deploy._predictor import Predictor

__all__ = ["Predictor", "plain", "read_bundle"]
