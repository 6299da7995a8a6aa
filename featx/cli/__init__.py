"""The command line: parse -> one public call -> print."""

from featx.cli._main import main

__all__ = ["main"]
