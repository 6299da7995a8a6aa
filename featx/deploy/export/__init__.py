"""Write a fitted pipeline as a bundle, and check that both answer alike."""

from featx.deploy.export._export import export_bundle

__all__ = ["export_bundle"]
