"""A bundle -> answers over HTTP; copied into it, as ``serve.py`` and beside its Predictor."""
