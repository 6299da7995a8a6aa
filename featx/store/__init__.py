"""Embeddings on disk: digest -> row; knows no images and no torch."""

from featx._cache_folder import default_location
from featx.store._store import EmbeddingStore
from featx.store.base import Store

__all__ = ["EmbeddingStore", "Store", "default_location"]
