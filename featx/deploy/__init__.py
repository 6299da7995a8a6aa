"""A fitted pipeline -> a bundle (`_export.py`); a bundle -> predictions (`_predictor.py`), never torch."""
