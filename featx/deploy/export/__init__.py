"""A fitted pipeline -> a bundle, held against it."""

from featx.deploy.export._export import export_bundle

__all__ = ["export_bundle"]
