"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do about it.

    Attributes
    ----------
    status : {"ok", "warn", "bad"}
        "warn" works, slower or with less; "bad" does not work.
    what, value : str
    advice : str, default=""

    Examples
    --------
    >>> from featx.doctor import Finding
    >>> print(Finding("warn", "memory", "0.5 GB", "close something"))
    warn  memory: 0.5 GB  -> close something
    """

    status: str
    what: str
    value: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.status:4}  {self.what}: {self.value}" + (f"  -> {self.advice}" if self.advice else "")
