"""A folder or a table of images -> a file of answers; copied into bundles, and run there by ``predict.py``."""

import lazy_loader

# Names and where they live are in __init__.pyi: the command line declares its options without numpy.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
