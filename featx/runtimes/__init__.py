"""Runtimes: what runs a network, from a batch of uint8 pixels to rows of float32."""

import lazy_loader

# Names and where they live are in __init__.pyi: some import torch or OpenVINO, which a warm call does not need.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
