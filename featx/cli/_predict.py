"""``featx predict``: a model and images -> a label each."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext

from featx.cli._command import add_command, add_json, note, print_json
from featx.cli._csv import write_csv
from featx.cli._folder import find_files
from featx.cli._target import replacing

_COLUMNS = ["image", "label", "probability", "error"]
_EXAMPLES = """
featx predict model/ new/
featx predict model/ a.jpg b.jpg --json
featx predict model/ new/ -o labels.csv
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        *(commands, "predict", run),
        help="label images with a model",
        description="Print image,label,probability,error as CSV, a row an image. The probability is that of the "
        "label, empty where\nthe model has none. An unreadable image has its error instead of a label, and the exit "
        "status is 1 then.",
        examples=_EXAMPLES,
    )
    command.add_argument("model", metavar="MODEL", help="the folder of a model or of a bundle")
    command.add_argument("paths", nargs="+", metavar="FOLDER|FILE", help="folders, nested ones too, and image files")
    command.add_argument("-o", "--output", metavar="FILE", help="write the CSV there")
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    with replacing(parsed.output) if parsed.output else nullcontext() as file:
        import pandas as pd

        from featx.cli._prediction import predict

        rows = predict(parsed.model, find_files(parsed.paths))
        # object: pandas' str cannot hold a path that is not UTF-8
        table = pd.DataFrame(rows, columns=_COLUMNS, dtype=object)
        if file:
            write_csv(table, file)
    if parsed.json:
        print_json(rows)
    elif not parsed.output:
        write_csv(table, sys.stdout)
    bad = sum(bool(row["error"]) for row in rows)
    if bad or parsed.output:
        note(f"{len(rows):,} images, {bad:,} unreadable" + (f": {parsed.output}" if parsed.output else ""))
    return int(bad > 0)
