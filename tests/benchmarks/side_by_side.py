"""featx against other libraries on the same photos and networks, one table and one chart.

    pip install -e ".[bench]"
    python -m tests.benchmarks.side_by_side --chart side_by_side.png

Candidates run in processes of their own and take turns; a library that is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

from featx.bench import BenchResult, draw_chart, format_table, run_bench, write_photos

ENCODERS = ("efficientnet_lite0", "resnet18", "resnet50", "convnext_tiny", "vit_b_16")
WITH_WEIGHTS = ("efficientnet_lite0",)  # the others' would be downloaded, and random ones take the same time
BASELINE = "embetter"


def main() -> None:
    arguments = parse_arguments()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(folder, arguments.images)
        for encoder in arguments.encoders:
            weights = "default" if encoder in WITH_WEIGHTS else "random"
            sizes = {"n_images": arguments.images, "runs": arguments.runs, "n_threads": arguments.threads}
            results.append(run_bench(photos, encoder=encoder, weights=weights, **sizes))
            print(format_table(results[-1]), end="\n\n", flush=True)
    print(markdown(results))
    if arguments.json:
        arguments.json.write_text(json.dumps([result.to_dict() for result in results], indent=2) + "\n")
    if arguments.chart:
        draw_chart(results, arguments.chart)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chart", type=Path)
    return parser.parse_args()


def markdown(results: list[BenchResult]) -> str:
    """A row for each encoder: images/s, and how many times the baseline's."""
    names = [peer.name for peer in results[0].peers]
    versions = [f"{peer.name} {peer.version}".strip() for peer in results[0].peers]
    head = ["images/s", "featx", *versions, "of featx's limit", "relative L2 to eager torch"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for result in results:
        rates = {peer.name: peer.rate for peer in result.peers}
        baseline = rates.get(BASELINE, math.nan)
        cells = [cell(rate, baseline) for rate in (result.rate("whole"), *(rates[name] for name in names))]
        figures = [f"{result.share:.0%}", f"{result.difference:.0e}"]
        lines.append(f"| {' | '.join([result.encoder, *cells, *figures])} |")
    return "\n".join(lines)


def cell(rate: float, baseline: float) -> str:
    if math.isnan(rate):
        return "-"
    number = f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"
    return number if math.isnan(baseline) else f"{number} ({rate / baseline:.1f}x)"


if __name__ == "__main__":
    main()
