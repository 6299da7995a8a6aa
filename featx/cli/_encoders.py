"""``featx encoders``: list the encoders that can be named."""

from __future__ import annotations

import argparse
import json
from fnmatch import fnmatch

from featx.cli._command import add_command, add_json, note, print_json
from featx.exceptions import UnknownNameError

_SHOWN = ["name", "weights", "dim", "parameters", "gmacs", "size", "top1", "licence", "local"]
_EXAMPLES = """
featx encoders
featx encoders resnet --local
featx encoders 'efficientnet_*' --json
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "encoders",
        run,
        help="list the encoders that can be named",
        description="List the encoders, one line for each set of weights: length of the embedding, "
        "parameters (millions),\nbillions of multiply-accumulates per image, image size, ImageNet top-1, license, "
        "whether the weights are on\nthis machine. timm's models are not listed: they are timm:NAME.",
        examples=_EXAMPLES,
    )
    command.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="a part of the name; or * and ?")
    command.add_argument("--local", action="store_true", help="only weights that are on this machine")
    add_json(command)


def run(parsed: argparse.Namespace) -> None:
    from featx.encoders import list_encoders

    table = list_encoders()
    chosen = table["name"].map(lambda name: parsed.pattern in name or fnmatch(name, parsed.pattern))
    if not chosen.any():
        raise UnknownNameError("encoder", parsed.pattern, table["name"].unique())
    if parsed.local:
        chosen &= table["local"]
    if parsed.json:
        print_json(json.loads(table[chosen].to_json(orient="records")))
    elif not chosen.any():
        note("None of them have their weights on this machine.")
    else:
        print(table.loc[chosen, _SHOWN].to_string(index=False))
