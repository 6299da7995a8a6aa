"""Predict with a bundle, without torch; `export` writes one, `batch` answers folders and tables, `service` HTTP."""

import lazy_loader

# Names and where they live are in __init__.pyi: the command line declares its options without numpy.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
