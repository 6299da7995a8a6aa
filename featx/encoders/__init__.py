"""Encoders: networks by name or the user's own, with weights, layers and identities; only building them needs torch."""

from featx.encoders._encoder import Encoder, FromCheckpoint, GraphEncoder, skeleton
from featx.encoders._identity import identify_callable
from featx.encoders._layers import list_layers
from featx.encoders._network import NetworkSize, build_network, network_size
from featx.encoders._registry import list_encoders, published_weights
from featx.encoders._resolve import resolve, to_node
from featx.encoders._spec import DECODES, FEATURE, LOGITS, PRECISIONS, EncoderSpec, Weights
from featx.encoders._trace import list_nodes, trace
from featx.encoders._weights import hash_file, is_weights_path

__all__ = [
    "DECODES",
    "FEATURE",
    "LOGITS",
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
    "is_weights_path",
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
