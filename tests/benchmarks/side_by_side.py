"""featx against other libraries on the same photos and networks, as tables and as a chart.

    pip install -e ".[benchmarks]"
    python -m tests.benchmarks.side_by_side --chart side_by_side.png

Every library runs in its own process, and they take turns; a library that is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx import __version__
from featx._machine import count_processors
from featx.bench import BenchResult, EncoderBench, format_rate, format_table, write_photos
from tests.benchmarks.libraries import LIBRARIES, Library, LibraryBench, Task
from tests.benchmarks.processes import Worker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENCODERS = ("efficientnet_lite0", "resnet18", "resnet50", "convnext_tiny", "vit_b_16")
WITH_WEIGHTS = ("efficientnet_lite0",)  # the others' would be downloaded, and random ones take the same time
BASELINE = "embetter"
PARTS = ("decode", "encode", "whole", "warm")
_OURS, _LIMIT, _THEIRS = "#1b6ca8", "#cfe2f1", "#b9bec4"
_TEXT, _QUIET = "#22272e", "#6b737c"
_HEIGHT = 0.34  # inches a bar


@dataclass(frozen=True)
class LibraryResult:
    """Another library on the same images and network: images/s of each run, or the reason why there are none."""

    name: str
    version: str = ""
    network: str = ""
    rates: tuple[float, ...] = ()
    reason: str = ""

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".strip()

    @property
    def rate(self) -> float:
        """Median images/s, NaN if it was not measured."""
        return statistics.median(self.rates) if self.rates else math.nan


@dataclass(frozen=True)
class Comparison:
    """featx and other libraries with one network."""

    featx: BenchResult
    libraries: tuple[LibraryResult, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as data for JSON, medians included."""
        rows = [asdict(row) | {"median": row.rate if row.rates else None} for row in self.libraries]
        return self.featx.to_dict() | {"libraries": rows}


def main() -> None:
    arguments = parse_arguments()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        photos = tuple(write_photos(folder, arguments.images))
        for encoder in arguments.encoders:
            weights = "default" if encoder in WITH_WEIGHTS else "random"
            n_threads = arguments.threads or count_processors()
            task = Task(photos, encoder, weights, n_threads, torch_threads=arguments.threads)
            results.append(compare(task, LIBRARIES, arguments.runs))
            print(format_comparison(results[-1]), end="\n\n", flush=True)
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


def compare(task: Task, libraries: Sequence[Library], runs: int) -> Comparison:
    """Start a process for featx and for each library, then let them take turns."""
    rates: dict[str, tuple[float, ...]] = dict.fromkeys(PARTS, ())
    with ExitStack() as stack:
        names = {"encoder": task.encoder, "weights": task.weights, "n_threads": task.n_threads}
        featx = stack.enter_context(Worker(EncoderBench, task.paths, **names))
        about, difference = featx.call("about"), featx.call("difference")
        task = replace(task, device="cuda:0" if about["device"].startswith("cuda") else "cpu")
        candidates = [Candidate(library, task, stack) for library in libraries]
        for _ in range(runs):
            for part in PARTS:
                rates[part] += (featx.call(part),)
            for candidate in candidates:
                candidate.measure()
    ours = BenchResult(**about, rates=rates, difference=difference)
    return Comparison(ours, tuple(candidate.result for candidate in candidates))


class Candidate:
    """A library in its process, or the reason why it is in none."""

    def __init__(self, library: Library, task: Task, stack: ExitStack):
        network = library.network(task.encoder) or ""
        self.result = LibraryResult(library.name, library.version(), network, reason=library.missing(task))
        self._worker: Worker | None = None
        if not self.result.reason:
            with self._noting_failure():
                self._worker = stack.enter_context(Worker(LibraryBench, library, task, quiet=True))

    def measure(self) -> None:
        """Add a run, unless the library has failed."""
        if not self.result.reason:
            with self._noting_failure():
                self.result = replace(self.result, rates=(*self.result.rates, self._worker.call("whole")))

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever another library raises is its result
            text = str(error).strip() or type(error).__name__
            self.result = replace(self.result, rates=(), reason=f"failed: {text.splitlines()[0]}")


def format_comparison(comparison: Comparison) -> str:
    """Format featx's parts, then all libraries, the fastest first and those without a figure last."""
    ours = LibraryResult("featx", __version__, rates=(comparison.featx.rate("whole"),))
    rows = sorted((ours, *comparison.libraries), key=lambda row: -row.rate if row.rates else 0)
    lines = [format_table(comparison.featx), "", f"{'side by side':28}images/s"]
    for row in rows:
        if row.reason:
            lines.append(f"{row.label:28}{'-':>8}   {row.reason}")
        else:
            note = "" if row is ours else f"featx is {ours.rate / row.rate:.1f} times as fast"
            lines.append(format_rate(row.label, row.rate, note))
    return "\n".join(lines)


def markdown(comparisons: list[Comparison]) -> str:
    """Make a row for each encoder: images/s, and how many times the baseline's."""
    names = [row.name for row in comparisons[0].libraries]
    head = ["images/s", "featx", *(row.label for row in comparisons[0].libraries)]
    head += ["of featx's limit", "relative L2 to eager torch"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for comparison in comparisons:
        ours = comparison.featx
        rates = {row.name: row.rate for row in comparison.libraries}
        baseline = rates.get(BASELINE, math.nan)
        cells = [cell(rate, baseline) for rate in (ours.rate("whole"), *(rates[name] for name in names))]
        lines.append(f"| {' | '.join([ours.encoder, *cells, f'{ours.share:.0%}', f'{ours.difference:.0e}'])} |")
    return "\n".join(lines)


def cell(rate: float, baseline: float) -> str:
    if math.isnan(rate):
        return "-"
    number = f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"
    return number if math.isnan(baseline) else f"{number} ({rate / baseline:.1f}x)"


def draw_chart(comparisons: Sequence[Comparison], path: str | Path) -> None:
    """Draw images/s as bars, a panel for each network, as .png, .svg or .pdf."""
    from matplotlib.figure import Figure

    bars = [_bars(comparison) for comparison in comparisons]
    heights = [len(panel) + 1.4 for panel in bars]
    figure = Figure(figsize=(8, _HEIGHT * sum(heights) + 0.9), facecolor="white", layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.12)
    axes = figure.subplots(len(bars), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, comparison, panel in zip(axes, comparisons, bars, strict=True):
        _draw_panel(axis, comparison.featx, panel)
    figure.suptitle("Images/s, from files to embeddings", x=0.015, ha="left", size=13, weight="bold", color=_TEXT)
    ours = comparisons[0].featx
    where = f"{ours.runtime} on {ours.device}, {ours.n_threads} threads, {ours.precision}"
    figure.supxlabel(f"featx: {where}. Pale: the limit that its own parts set.", size=8, color=_QUIET)
    figure.savefig(path, dpi=160)


def _bars(comparison: Comparison) -> list[tuple[str, float]]:
    """Name and rate of all that were measured, the fastest first."""
    theirs = [(row.label, row.rate) for row in comparison.libraries if not row.reason]
    return sorted([("featx", comparison.featx.rate("whole")), *theirs], key=lambda bar: -bar[1])


def _draw_panel(axis: Axes, ours: BenchResult, bars: list[tuple[str, float]]) -> None:
    names, rates = zip(*bars, strict=True)
    place = names.index("featx")
    longest = max(*rates, ours.limit)
    axis.barh([place], [ours.limit], color=_LIMIT, height=0.72)
    axis.barh(range(len(bars)), rates, color=[_OURS if name == "featx" else _THEIRS for name in names], height=0.72)
    for i, (name, rate) in enumerate(bars):
        end = max(rate, ours.limit) if name == "featx" else rate
        color = _TEXT if i == place else _QUIET
        axis.text(end + longest / 100, i, _label(rate, rates[place] / rate), va="center", size=9, color=color)
    axis.set_title(ours.encoder, loc="left", size=10, weight="bold", color=_TEXT)
    axis.set(xlim=(0, 1.15 * longest), ylim=(len(bars) - 0.4, -0.6), xticks=[])
    axis.set_yticks(range(len(bars)), names, size=9)
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set(color=_TEXT if name == "featx" else _QUIET, weight="bold" if name == "featx" else "normal")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _label(rate: float, slower: float) -> str:
    number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
    return f"{number}   {slower:.1f}\N{MULTIPLICATION SIGN} slower" if slower > 1 else number


if __name__ == "__main__":
    main()
