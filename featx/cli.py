"""The command line: parse -> one public call -> print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from featx._version import __version__
from featx.exceptions import FeatxError, ParameterError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, default=None
        None is the process's own.

    Returns
    -------
    int
        The exit status: 0, 2 for an error that featx raises on purpose, 130 for Ctrl-C.
    """
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except FeatxError as error:
        print(f"featx: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="featx", description="Pretrained vision for scikit-learn.")
    parser.add_argument("--version", action="version", version=f"featx {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_bench(commands)
    return parser


def _add_bench(commands: argparse._SubParsersAction) -> None:
    help_ = "how fast featx is here: its parts, its limit, and other libraries on the same images"
    command = commands.add_parser("bench", help=help_, description=f"Measure {help_}.")
    add = command.add_argument
    add("paths", nargs="*", metavar="FOLDER", help="folders or image files; photos are made up where there are none")
    add("--encoder", default="efficientnet_lite0", metavar="NAME", help="default: %(default)s")
    add("--weights", metavar="NAME", help="default: the encoder's, if they are on this machine, else random")
    add("--precision", metavar="NAME", help="as for ImageEncoder, and so are the next three")
    add("--runtime", metavar="NAME")
    add("--device", metavar="NAME")
    add("--batch-size", type=int, metavar="N")
    add("--threads", type=int, metavar="N", help="that decode; default: all processors")
    add("--images", type=int, default=128, metavar="N", help="at most so many, spread evenly; default: %(default)s")
    add("--runs", type=int, default=3, metavar="N", help="medians are taken over them; default: %(default)s")
    add("--peers", action=argparse.BooleanOptionalAction, default=True, help="measure other libraries too")
    add("--json", type=Path, metavar="FILE", help="keep all that was measured")
    add("--chart", type=Path, metavar="FILE", help="draw it: .png, .svg or .pdf")
    command.set_defaults(run=_bench)


def _bench(parsed: argparse.Namespace) -> None:
    from featx.bench import check_chart, draw_chart, format_table, run_bench

    for file in filter(None, (parsed.json, parsed.chart)):
        _check_writable(file)
    if parsed.chart:
        check_chart(parsed.chart)
    names = ("precision", "runtime", "device", "batch_size")
    result = run_bench(
        parsed.paths or None,
        encoder=parsed.encoder,
        weights=parsed.weights,
        n_images=parsed.images,
        runs=parsed.runs,
        peers=parsed.peers,
        n_threads=parsed.threads,
        **{name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None},
    )
    print(format_table(result))
    if parsed.json:
        parsed.json.write_text(json.dumps(result.to_dict(), indent=2) + "\n")
    if parsed.chart:
        draw_chart([result], parsed.chart)


def _check_writable(file: Path) -> None:
    """Refuse now what could not be written after minutes of measuring."""
    if not file.parent.is_dir():
        raise ParameterError(f"Got {file}, but there is no folder {file.parent.absolute()}. Make it first.")
