"""Which network: names, weights, layers, and the graph they make; torch is imported only to build one."""

from featx.encoders._encoder import Encoder
from featx.encoders._network import build_network
from featx.encoders._quantized import QuantizedEncoder
from featx.encoders._registry import list_encoders
from featx.encoders._resolve import resolve
from featx.encoders._spec import PRECISIONS, EncoderSpec

__all__ = ["PRECISIONS", "Encoder", "EncoderSpec", "QuantizedEncoder", "build_network", "list_encoders", "resolve"]
