"""A fitted pipeline -> a bundle (`_export.py`), a bundle -> predictions (`_predictor.py`, `_server.py`); the latter never torch."""
