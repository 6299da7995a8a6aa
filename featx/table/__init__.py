"""Tables with columns of images: the features of both, and a pipeline from a frame to predictions."""

from featx.table._inside import encoder_parameter, image_column, images_of
from featx.table._table_encoder import TableEncoder, vectorizer
from featx.table._tabular_pipeline import tabular_pipeline

__all__ = ["TableEncoder", "encoder_parameter", "image_column", "images_of", "tabular_pipeline", "vectorizer"]
