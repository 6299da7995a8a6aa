"""Tables with columns of images: the features of both, and a pipeline from a frame to predictions."""

from featx.table._table_encoder import TableEncoder, vectorizer
from featx.table._tabular_pipeline import tabular_pipeline

__all__ = ["TableEncoder", "tabular_pipeline", "vectorizer"]
