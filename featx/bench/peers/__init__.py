"""Other libraries, each as its own documentation has it, on random weights: nothing is downloaded."""

from featx.bench.peers._embetter import EMBETTER
from featx.bench.peers._img2vec import IMG2VEC
from featx.bench.peers._peer import Peer, PeerCandidate
from featx.bench.peers._timm import TIMM
from featx.bench.peers._torch_loop import TORCH_LOOP
from featx.bench.peers._transformers import TRANSFORMERS

PEERS = (TORCH_LOOP, TIMM, TRANSFORMERS, IMG2VEC, EMBETTER)

__all__ = ["EMBETTER", "IMG2VEC", "PEERS", "TIMM", "TORCH_LOOP", "TRANSFORMERS", "Peer", "PeerCandidate"]
