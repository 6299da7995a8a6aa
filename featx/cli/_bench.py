"""``featx bench``: how fast featx is here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from featx.cli._command import add_command
from featx.cli._files import check_target, replacing


def add(commands: argparse._SubParsersAction) -> None:
    help_ = "how fast featx is here: its parts, its limit, and other libraries on the same images"
    command = add_command(
        *(commands, "bench", run),
        help=help_,
        description=f"Measure {help_}.",
        examples="featx bench photos/ --encoder resnet50 --chart bench.png\nfeatx bench --no-peers",
    )
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


def run(parsed: argparse.Namespace) -> None:
    from featx.bench import check_chart, draw_chart, format_table, run_bench

    for file in filter(None, (parsed.json, parsed.chart)):
        check_target(file)
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
        with replacing(parsed.json) as file:
            file.write_text(json.dumps(result.to_dict(), indent=2) + "\n")
    if parsed.chart:
        draw_chart([result], parsed.chart)
