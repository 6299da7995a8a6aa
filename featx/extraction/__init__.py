"""Missing rows -> decoded, batched, encoded, stored, gathered."""

from featx.extraction._extract import Options, embedding_dims, extract
from featx.extraction._failures import Failures
from featx.extraction._progress import progress_bar
from featx.extraction._rate import decode_some, decoding_rate, network_rate
from featx.extraction._table import Table
from featx.extraction._turns import encode_in_turns

__all__ = [
    "Failures",
    "Options",
    "Table",
    "decode_some",
    "decoding_rate",
    "embedding_dims",
    "encode_in_turns",
    "extract",
    "network_rate",
    "progress_bar",
]
