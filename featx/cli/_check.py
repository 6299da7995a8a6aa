"""``featx check``: which images cannot be used, and why; which are odd."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from featx.cli._command import add_command, add_json, print_json
from featx.cli._csv import write_csv
from featx.cli._target import replacing

_EXAMPLES = """
featx check photos/
featx check photos/ more/ extra.jpg -o bad_images.csv
featx check photos/ --json
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        *(commands, "check", run),
        help="say which images cannot be used, and why",
        description="Decode every image; list those that cannot be used, those that are blank or very dark, and files "
        "that look\nlike images but are left out. The exit status is 1 if any cannot be read or is left out.",
        examples=_EXAMPLES,
    )
    command.add_argument("paths", nargs="+", metavar="FOLDER|FILE", help="folders, nested ones too, and image files")
    command.add_argument("-o", "--output", metavar="FILE", help="write the bad ones there too: image,error as CSV")
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    with replacing(parsed.output) if parsed.output else nullcontext() as file:
        import pandas as pd

        from featx.images import BLANK, check_images, find_images

        images, left_out = find_images(parsed.paths)
        table = check_images(images)
        bad = table.loc[~table["ok"], ["image", "error"]]
        if file:
            others = [(path, f"left out: {reason}") for path, reason in left_out.items()]
            write_csv(pd.concat([bad, pd.DataFrame(others, columns=list(bad))]), file)
    noted = table.loc[table["note"] != "", ["image", "note"]]
    blank = table["note"].str.startswith(BLANK)
    copies = int(table.loc[table["ok"] & ~blank, "digest"].duplicated().sum())
    if parsed.json:
        others = [{"image": path, "reason": reason} for path, reason in left_out.items()]
        rows = {"bad": bad.to_dict("records"), "noted": noted.to_dict("records"), "left_out": others}
        print_json({"images": len(table), "copies": copies, **rows})
    else:
        for image, error in zip(bad["image"], bad["error"], strict=True):
            print(f"{image}: {error}")
        for image, note in zip(noted["image"], noted["note"], strict=True):
            print(f"{image}: {note}")
        for image, reason in left_out.items():
            print(f"{image}: left out: {reason}")
        beside = f", {len(left_out):,} files left out" if left_out else ""
        print(f"{len(table):,} images: {len(bad):,} bad, {copies:,} copies of another one{beside}")
    return int(len(bad) > 0 or len(left_out) > 0)
