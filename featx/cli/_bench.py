"""``featx bench``: measure how fast featx is here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from featx.cli._command import add_command
from featx.cli._files import check_target, replacing


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "bench",
        run,
        help="measure how fast featx is here",
        description="Measure decoding and the network alone, both together, and the limit that the parts set.",
        examples="featx bench photos/ --encoder resnet50\nfeatx bench --json bench.json",
    )
    add = command.add_argument
    add("paths", nargs="*", metavar="FOLDER", help="folders or image files; default: photos made for the purpose")
    add("--encoder", default="efficientnet_lite0", metavar="NAME", help="default: %(default)s")
    add("--weights", metavar="NAME", help="default: the encoder's, if they are on this machine, else random")
    add("--precision", metavar="NAME", help="as for ImageEncoder, and so are the next three")
    add("--runtime", metavar="NAME")
    add("--device", metavar="NAME")
    add("--batch-size", type=int, metavar="N")
    add("--n-jobs", type=int, default=-1, metavar="N", help="threads that decode; default: %(default)s, all processors")
    add("--images", type=int, default=128, metavar="N", help="at most so many, spread evenly; default: %(default)s")
    add("--runs", type=int, default=3, metavar="N", help="medians are taken over them; default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write all measurements to a file")


def run(parsed: argparse.Namespace) -> None:
    """Measure, print the table, and write the file."""
    from featx.bench import format_table, run_bench

    if parsed.json:
        check_target(parsed.json)
    names = ("precision", "runtime", "device", "batch_size")
    result = run_bench(
        parsed.paths or None,
        encoder=parsed.encoder,
        weights=parsed.weights,
        n_images=parsed.images,
        runs=parsed.runs,
        n_jobs=parsed.n_jobs,
        **{name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None},
    )
    print(format_table(result))
    if parsed.json:
        with replacing(parsed.json) as file:
            file.write_text(json.dumps(result.to_dict(), indent=2) + "\n")
