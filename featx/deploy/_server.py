"""The service of a bundle: not written yet."""
