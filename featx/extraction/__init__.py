"""Images -> embeddings: look up, and decode, batch, encode and store what is missing."""

from featx.extraction._combine import COMBINATIONS, combine, embed_rows
from featx.extraction._extract import Extraction, Options, progress_bar
from featx.extraction._failures import Failures
from featx.extraction._rate import decode_some, decoding_rate, network_rate
from featx.extraction._table import Table, encode_missing

__all__ = [
    "COMBINATIONS",
    "Extraction",
    "Failures",
    "Options",
    "Table",
    "combine",
    "decode_some",
    "decoding_rate",
    "embed_rows",
    "encode_missing",
    "network_rate",
    "progress_bar",
]
