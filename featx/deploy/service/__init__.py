"""A bundle -> answers over HTTP; copied into it, and run there by ``serve.py``."""
