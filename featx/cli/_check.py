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
        description="Decode every image; list the unreadable ones, and those that are blank or very dark. The exit "
        "status is 1 if\nany cannot be read.",
        examples=_EXAMPLES,
    )
    command.add_argument("paths", nargs="+", metavar="FOLDER|FILE", help="folders, nested ones too, and image files")
    command.add_argument("-o", "--output", metavar="FILE", help="write the bad ones there too: image,error as CSV")
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    with replacing(parsed.output) if parsed.output else nullcontext() as file:
        from featx._image_folder import check_images, find_images
        from featx.images import BLANK

        table = check_images(find_images(parsed.paths))
        bad = table.loc[~table["ok"], ["image", "error"]]
        if file:
            write_csv(bad, file)
    noted = table.loc[table["note"] != "", ["image", "note"]]
    blank = table["note"].str.startswith(BLANK)
    copies = int(table.loc[table["ok"] & ~blank, "digest"].duplicated().sum())
    if parsed.json:
        rows = {"bad": bad.to_dict("records"), "noted": noted.to_dict("records")}
        print_json({"images": len(table), "copies": copies, **rows})
    else:
        for image, error in zip(bad["image"], bad["error"], strict=True):
            print(f"{image}: {error}")
        for image, note in zip(noted["image"], noted["note"], strict=True):
            print(f"{image}: {note}")
        print(f"{len(table):,} images: {len(bad):,} bad, {copies:,} copies of another one")
    return int(len(bad) > 0)
