"""Missing rows -> decoded, batched, encoded, stored, gathered."""

from featx._threads import count_threads
from featx.extraction._extract import Options, embedding_dims, extract
from featx.extraction._rate import decode_some, decoding_rate, network_rate

__all__ = ["Options", "count_threads", "decode_some", "decoding_rate", "embedding_dims", "extract", "network_rate"]
