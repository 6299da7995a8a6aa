"""Missing rows -> decoded, batched, encoded, stored, gathered."""

from featx.extraction._extract import Options, available_threads, embedding_dims, extract

__all__ = ["Options", "available_threads", "embedding_dims", "extract"]
