"""Missing rows -> decoded, batched, encoded, stored, gathered."""

from featx.extraction._extract import Options, embedding_dims, extract
from featx.extraction._threads import count_threads

__all__ = ["Options", "count_threads", "embedding_dims", "extract"]
