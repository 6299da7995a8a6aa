"""What all commands share: how they and their common options are declared, and what they print."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

LAYOUT = "photos/<label>/..., or photos/<split>/<label>/..."
_TASKS = ("auto", "classification", "regression")
_IN_OPTIONS = {
    r'task="(\w+)"': r"--task \1",
    r"Pass groups=featx\.audit\(X\)\.groups, or leave copies out with featx\.audit\(X\)\.clean\(\)\.": (
        "featx audit names them: leave them out, or give a table a column of their groups, --group."
    ),
}
_CHOSEN = ("weights", "layers", "pooling", "preprocess", "precision", "decode", "views", "device", "batch_size")


def add_command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    *,
    help: str,
    description: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Declare a command.

    Parameters
    ----------
    commands : argparse action
        The action that `add_subparsers` returned.
    name : str
        The command's name.
    run : callable
        Takes the parsed arguments; returns the exit status, None for 0.
    help : str
        One line for the list of commands.
    description : str
        The text above the options.
    examples : str
        Lines to type.

    Returns
    -------
    argparse.ArgumentParser
        The parser of the command.
    """
    command = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_json(command: argparse.ArgumentParser) -> None:
    """Declare ``--json``."""
    command.add_argument("--json", action="store_true", help="print one JSON document")


def add_cache(command: Any) -> None:
    """Declare ``--cache`` and ``--no-cache`` for a parser or a group of options."""
    cache = command.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache",
        metavar="DIR|URL",
        help="where embeddings are kept; default: $FEATX_CACHE or your own",
    )
    cache.add_argument("--no-cache", action="store_true", help="do not keep embeddings")


def cache_parameter(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the parameter `cache` if it was chosen."""
    return {"cache": parsed.cache or False} if parsed.no_cache or parsed.cache else {}


def add_encoder(command: argparse.ArgumentParser) -> None:
    """Declare the options that choose an encoder; `ImageEncoder` checks their values."""
    group = command.add_argument_group("encoder", "As for featx.ImageEncoder; its defaults are the defaults.")
    add = group.add_argument
    add("--encoder", default="efficientnet_lite0", metavar="NAME", help="see featx encoders; default: %(default)s")
    add("--weights", metavar="NAME|FILE", help="published ones, a .pth or .safetensors file, or random")
    add(
        "--layers", metavar="NODE,NODE", help="early, middle, late, last or inner nodes; default: the network's feature"
    )
    add("--pooling", metavar="NAME", help="avg, max, gem or flatten; with --layers")
    add("--preprocess", metavar="NAME", help="crop, squash or pad")
    add("--precision", metavar="NAME", help="float32, tf32, bfloat16 or float16")
    add("--decode", metavar="NAME", help="exact, or fast: sooner, with slightly other pixels")
    add("--views", metavar="NAME", help="flip or five_crops: average the embeddings of such views")
    add("--device", metavar="NAME", help="auto, cpu, cuda, or several: cuda:0,cuda:1")
    add("--batch-size", type=int, metavar="N", help="images in a batch")
    add_cache(group)


def encoder_parameters(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return what was chosen, by the names of `ImageEncoder`'s parameters."""
    parameters = {name: getattr(parsed, name) for name in _CHOSEN if getattr(parsed, name) is not None}
    for name in ("layers", "device"):
        if "," in parameters.get(name, ""):
            parameters[name] = parameters[name].split(",")
    return {"encoder": parsed.encoder, **parameters, **cache_parameter(parsed)}


def add_folder(command: argparse.ArgumentParser) -> None:
    """Declare a folder of labelled images, and how its splits are named."""
    command.add_argument("folder", metavar="FOLDER", help=LAYOUT)
    command.add_argument(
        "--split",
        type=_split,
        default="auto",
        metavar="NAME=SPLIT,...",
        help="what the folders are: Training=train,holdout=test; none: labels; default: auto, by their names",
    )


def add_table(command: argparse.ArgumentParser) -> None:
    """Declare what names the columns of a table of images."""
    group = command.add_argument_group("table", "Where FOLDER is a table: .csv, .tsv, .parquet, or an archive, .tar.")
    add = group.add_argument
    add("--image", metavar="COLUMN", help="the column of images, default: image; in an archive such as jpg")
    add("--target", metavar="COLUMN", help="the column of labels, or of numbers to predict")
    add("--group", metavar="COLUMN", help="rows of one group are in one fold")
    add("--root", metavar="DIR", help="below which relative paths lie; default: the folder of the table")


def add_paths(command: argparse.ArgumentParser) -> None:
    """Declare folders and files of images."""
    command.add_argument("paths", nargs="+", metavar="FOLDER|FILE", help="folders, nested ones too, and image files")


def add_task(command: argparse.ArgumentParser, *, auto: str = "classification") -> None:
    """Declare ``--task``; `auto` describes its default."""
    command.add_argument(
        "--task",
        choices=_TASKS,
        default="auto",
        metavar="NAME",
        help="classification, or regression: folders are named by the numbers to predict (photos/12.5/...); default: "
        + auto,
    )


def in_options(text: str) -> str:
    """Write what a message tells to pass as the command line has it.

    Examples
    --------
    >>> from featx.cli._command import in_options
    >>> in_options('Pass task="regression".')
    'Pass --task regression.'
    """
    for told, command in _IN_OPTIONS.items():
        text = re.sub(told, command, text)
    return text


def print_json(document: Any) -> None:
    """Print a document; NaN and infinity, which JSON lacks, must not be in it."""
    print(json.dumps(document, indent=2, allow_nan=False))


def note(text: str) -> None:
    """Print what is not the answer to stderr."""
    print(text, file=sys.stderr)


def _split(text: str) -> str | Mapping[str, str] | None:
    if text in ("auto", "none"):
        return None if text == "none" else text
    pairs = {name: split for name, _, split in (pair.partition("=") for pair in text.split(","))}
    if not all(pairs) or not all(pairs.values()):
        raise argparse.ArgumentTypeError(f"got {text!r}; expected auto, none, or NAME=SPLIT,NAME=SPLIT")
    return pairs
