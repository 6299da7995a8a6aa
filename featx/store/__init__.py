"""Embeddings on disk: digest -> row; knows no images and no torch."""

from featx.store._store import EmbeddingStore, default_location
from featx.store.base import Store

__all__ = ["EmbeddingStore", "Store", "default_location"]
