"""Which encoder, which layer: candidates tried on the user's task."""

from featx.ranking._rank import rank_encoders

__all__ = ["rank_encoders"]
