from ._bundle import plain, read_bundle
from ._predictor import Predictor

__all__ = ["Predictor", "plain", "read_bundle"]
