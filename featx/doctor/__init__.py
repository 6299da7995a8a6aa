"""Find out what this machine can do for featx, and what is broken on it."""

from featx.doctor._examine import Finding, examine

__all__ = ["Finding", "examine"]
