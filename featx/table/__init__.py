"""Tables with columns of images: the features of both, and a pipeline from a frame to predictions."""

from featx.table._inside import encoder_parameter, image_column, images_of
from featx.table._table_encoder import TableEncoder, columns_of, vectorizer
from featx.table._tabular_pipeline import tabular_pipeline

__all__ = [
    "TableEncoder",
    "columns_of",
    "encoder_parameter",
    "image_column",
    "images_of",
    "tabular_pipeline",
    "vectorizer",
]
