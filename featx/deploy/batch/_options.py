"""The options of a job, which ``predict.py`` and ``featx predict`` share; the standard library alone.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from typing import Any


def add_options(command: Any) -> None:
    """Declare the options of a job for a parser."""
    add = command.add_argument
    add("-o", "--output", metavar="FILE", help="write there: .csv, or .parquet with pyarrow; default: print CSV")
    add("--resume", action="store_true", help="go on where a run that was stopped left off, if there was one")
    add("--overwrite", action="store_true", help="replace FILE, and forget a run that was stopped")
    add("--quiet", action="store_true", help="show no progress, and no count where all is well")
    table = command.add_argument_group("table", "Where FOLDER is a table: .csv or .tsv, which may be compressed.")
    table.add_argument("--image", metavar="COLUMN", help="the column of images; default: the model's, or image")
    table.add_argument("--root", metavar="DIR", help="below which relative paths lie; default: the folder of the table")
