"""Pretrained vision for scikit-learn: images in, cached embeddings, scikit-learn estimators out."""

import lazy_loader

from featx._version import __version__ as __version__

# Names and where they live are in __init__.pyi: imported at first use, so that `import featx` costs nothing.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
