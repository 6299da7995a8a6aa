"""``featx check``: images -> which of them cannot be used, and why."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from featx.cli._command import add_command, add_json, add_paths, print_json
from featx.cli._files import replacing, write_csv

_EXAMPLES = """
featx check photos/
featx check photos/ more/ extra.jpg -o bad_images.csv
featx check photos/ --json
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "check",
        run,
        help="list the images that cannot be used, and why",
        description="Decode every image; list those that cannot be used, those that are blank or very dark, and files "
        "that look\nlike images but are left out. The exit status is 1 if any cannot be read or is left out.",
        examples=_EXAMPLES,
    )
    add_paths(command)
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
        beside = [{"image": path, "reason": reason} for path, reason in left_out.items()]
        rows = {"bad": bad.to_dict("records"), "noted": noted.to_dict("records"), "left_out": beside}
        print_json({"images": len(table), "copies": copies, **rows})
    else:
        for image, error in zip(bad["image"], bad["error"], strict=True):
            print(f"{image}: {error}")
        for image, remark in zip(noted["image"], noted["note"], strict=True):
            print(f"{image}: {remark}")
        for image, reason in left_out.items():
            print(f"{image}: left out: {reason}")
        rest = f", {len(left_out):,} files left out" if left_out else ""
        print(f"{len(table):,} images: {len(bad):,} bad, {copies:,} copies of another one{rest}")
    return int(len(bad) > 0 or len(left_out) > 0)
