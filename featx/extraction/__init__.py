"""Missing rows -> decoded, batched, encoded, stored, gathered."""

from featx.extraction._extract import Extraction, Options, extract
from featx.extraction._failures import Failures
from featx.extraction._progress import progress_bar
from featx.extraction._rate import decode_some, decoding_rate, network_rate
from featx.extraction._table import Table
from featx.extraction._turns import encode_in_turns

__all__ = [
    "Extraction",
    "Failures",
    "Options",
    "Table",
    "decode_some",
    "decoding_rate",
    "encode_in_turns",
    "extract",
    "network_rate",
    "progress_bar",
]
