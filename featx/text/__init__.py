"""Texts -> digests -> embeddings by sentence-transformers, in the store that images use."""

from featx.text._spec import TextSpec, find_folder, read_spec
from featx.text._text_encoder import TextEncoder

__all__ = ["TextEncoder", "TextSpec", "find_folder", "read_spec"]
