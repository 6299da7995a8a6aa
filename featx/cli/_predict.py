"""``featx predict``: a model and images -> a label each."""

from __future__ import annotations

import argparse
import csv
import io
from contextlib import nullcontext
from typing import Any

from featx.cli._command import add_command, add_json, note, print_json
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
        from featx._image_folder import find_images
        from featx.cli._prediction import predict

        rows = predict(parsed.model, find_images(parsed.paths))
        if file:
            file.write_text(_csv(rows), "utf-8", "surrogateescape", newline="")
    if parsed.json:
        print_json(rows)
    elif not parsed.output:
        print(_csv(rows), end="")
    bad = sum(bool(row["error"]) for row in rows)
    if bad or parsed.output:
        note(f"{len(rows):,} images, {bad:,} unreadable" + (f": {parsed.output}" if parsed.output else ""))
    return int(bad > 0)


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)  # None is an empty field
    return text.getvalue()
