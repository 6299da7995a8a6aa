"""Missing rows -> decoded, batched, encoded, stored, gathered."""

from featx._threads import count_threads
from featx.extraction._extract import Options, embedding_dims, extract

__all__ = ["Options", "count_threads", "embedding_dims", "extract"]
