"""What a machine can do for featx, and what is broken on it."""

from featx.doctor._examine import examine
from featx.doctor._finding import Finding

__all__ = ["Finding", "examine"]
