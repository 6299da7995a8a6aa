"""Tables as CSV that any name of a file goes through."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_csv(table: pd.DataFrame, file: Path | IO[str]) -> None:
    """Write a table without its index; lines end as Unix has it.

    Parameters
    ----------
    table : pandas.DataFrame
    file : Path or text file
        A text file keeps its own encoding.
    """
    texts = table.select_dtypes(exclude="number")
    # With such line ends the csv module quotes no carriage return by itself, and readers take it for a line's end.
    returns = any("\r" in str(value) for name in texts for value in texts[name])
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    table.to_csv(file, index=False, errors="surrogateescape", lineterminator="\n", quoting=quoting)
