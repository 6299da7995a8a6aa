"""Out of the notebook: bundle -> predictions, never torch (here); pipeline -> bundle (export); over HTTP (service)."""
