"""Which network: names, weights, layers, and the graph they make; torch is imported only to build one."""

from featx.encoders._encoder import Encoder
from featx.encoders._graph_encoder import GraphEncoder
from featx.encoders._layers import list_layers
from featx.encoders._network import build_network
from featx.encoders._registry import list_encoders, published_weights
from featx.encoders._resolve import resolve
from featx.encoders._size import NetworkSize, network_size
from featx.encoders._spec import PRECISIONS, EncoderSpec, Weights
from featx.encoders._weights import hash_file

__all__ = [
    "PRECISIONS",
    "Encoder",
    "EncoderSpec",
    "GraphEncoder",
    "NetworkSize",
    "Weights",
    "build_network",
    "hash_file",
    "list_encoders",
    "list_layers",
    "network_size",
    "published_weights",
    "resolve",
]
