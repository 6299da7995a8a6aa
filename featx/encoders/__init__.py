"""Which network: names, weights, layers, and the graph they make; torch is imported only to build one."""

from featx.encoders._encoder import Encoder
from featx.encoders._graph_encoder import GraphEncoder
from featx.encoders._identity import identify_callable
from featx.encoders._layers import list_layers
from featx.encoders._network import build_network
from featx.encoders._portable import to_node
from featx.encoders._recipe import FromCheckpoint, skeleton
from featx.encoders._registry import list_encoders, published_weights
from featx.encoders._resolve import resolve
from featx.encoders._size import NetworkSize, network_size
from featx.encoders._spec import FEATURE, PRECISIONS, EncoderSpec, Weights
from featx.encoders._stages import list_nodes
from featx.encoders._trace import trace
from featx.encoders._weights import hash_file

__all__ = [
    "FEATURE",
    "PRECISIONS",
    "Encoder",
    "EncoderSpec",
    "FromCheckpoint",
    "GraphEncoder",
    "NetworkSize",
    "Weights",
    "build_network",
    "hash_file",
    "identify_callable",
    "list_encoders",
    "list_layers",
    "list_nodes",
    "network_size",
    "published_weights",
    "resolve",
    "skeleton",
    "to_node",
    "trace",
]
