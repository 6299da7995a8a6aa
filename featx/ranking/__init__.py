"""Which encoder and which layer: candidates compared on the user's images and labels."""

from featx.ranking._rank import rank_encoders

__all__ = ["rank_encoders"]
