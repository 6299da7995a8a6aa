"""Texts -> digests -> embeddings by sentence-transformers, in the store that images use."""

from featx.text._spec import TextSpec, find_folder, read_spec
from featx.text._text_encoder import TextEncoder, spec_of

__all__ = ["TextEncoder", "TextSpec", "find_folder", "read_spec", "spec_of"]
