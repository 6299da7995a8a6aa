"""Runtimes: uint8 batch -> float32 rows."""

import lazy_loader

# Names and where they live are in __init__.pyi: some import torch or OpenVINO, which a warm call needs not.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
