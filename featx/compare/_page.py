"""A TransferReport -> one page that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._optional import import_optional
from featx.compare._arms import PRETRAINED
from featx.compare._map import SHEET_COLUMNS, SIDE, draw_sheet, embed_plane, map_rows
from featx.compare._suspects import find_suspects
from featx.pages import figure, thumbnail, write_page

if TYPE_CHECKING:
    import pandas as pd

    from featx.compare._result import TransferReport
    from featx.evaluation import ScoreUnit

_TEMPLATE = Path(__file__).parent / "report.html"
_TONES = {"helps": "good", "hurts": "bad", "undecided": "unsure"}
_TILE_PICTURE = 96
_MOST_TILES = 12
_MOST_CLASSES = 40  # of a matrix that can be read
_FEWEST_POINTS = 5
_LONGEST = 24


def write_report(report: TransferReport, path: str | Path) -> Path:
    """Write the page of a report; see `TransferReport.to_html`."""
    import_optional("jinja2", extra="report", purpose="A page")
    table = report.predictions
    classes = [] if report.regression else sorted(set(table["truth"]) | set(table[PRETRAINED]))
    return write_page(
        path,
        _TEMPLATE,
        title="Does transfer help?",
        report=report,
        tone=_TONES[report.word],
        images=len(table),
        largest=int(report.curves["size"].max()),
        curves=figure(report.plot().figure),
        columns=_COLUMNS,
        rows=_summary_rows(report),
        best=list(report.summary.index).index(PRETRAINED),
        matrix=_matrix(table, classes) if 0 < len(classes) <= _MOST_CLASSES else None,
        mistakes=[] if report.regression else _mistakes(report),
        map=_map(report, classes),
        suspects=find_suspects(report),
    )


_COLUMNS = [
    "arm",
    "score",
    "95 % interval",
    "transfer's gain",
    "95 % interval",
    "errors saved",
    "labels needed",
    "time",
]


def _summary_rows(report: TransferReport) -> list[list[str]]:
    rows = []
    for arm, row in report.summary.iterrows():
        score = [arm, f"{row.score:.3f}", f"{row.low:.3f} to {row.high:.3f}"]
        if arm == PRETRAINED:
            rows.append([*score, "", "", "", "", f"{row.seconds:,.1f} s"])
            continue
        gain = [_gain(row[name], report.unit) for name in ("difference", "difference_low", "difference_high")]
        saved = row.get("error_reduction", np.nan)
        saved = "" if np.isnan(saved) else f"{100 * saved:.0f} %" if saved >= 0 else "none"
        rows.append([*score, gain[0], f"{gain[1]} to {gain[2]}", saved, row.label_efficiency, f"{row.seconds:,.1f} s"])
    return rows


def _gain(value: float, unit: ScoreUnit) -> str:
    return unit.figure(value).replace("-", "\N{MINUS SIGN}")


def _matrix(table: pd.DataFrame, classes: list[Any]) -> dict[str, Any]:
    """Counts by true and predicted class, each with the share of its row that tints it."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(table["truth"], table[PRETRAINED], labels=classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = [
        (_short(name), [(int(n), round(float(share), 3)) for n, share in zip(*pair, strict=True)])
        for name, pair in zip(classes, zip(counts, shares, strict=True), strict=True)
    ]
    return {"classes": [_short(name) for name in classes], "rows": rows}


def _mistakes(report: TransferReport) -> list[tuple[str, list[str], str]]:
    """The images that the pretrained arm is surest and wrong about."""
    table = report.predictions
    wrong = np.flatnonzero((table["truth"] != table[PRETRAINED]).to_numpy())
    surest = wrong[np.argsort(-np.nan_to_num(table["confidence"].to_numpy()[wrong]), kind="stable")][:_MOST_TILES]
    tiles = []
    for i in surest:
        # A column at a time: a row of numbers alone would be of floats.
        truth, predicted, confidence = (table[name].iloc[i] for name in ("truth", PRETRAINED, "confidence"))
        sure = "" if np.isnan(confidence) else f" ({100 * confidence:.0f}\N{NO-BREAK SPACE}%)"
        lines = [f"is {_short(truth)}", f"predicted {_short(predicted)}{sure}"]
        tiles.append((thumbnail(report._images.sources[i], _TILE_PICTURE), lines, report.name_of(i)))
    return tiles


def _map(report: TransferReport, classes: list[Any]) -> dict[str, Any] | None:
    """Points with their class, prediction and picture."""
    rows, table = map_rows(len(report.predictions)), report.predictions
    if report.regression or len(rows) < _FEWEST_POINTS:
        return None
    numbers = {name: i for i, name in enumerate(classes)}
    points = [
        [round(float(x), 4), round(float(y), 4), numbers[truth], numbers[predicted]]
        for (x, y), truth, predicted in zip(
            embed_plane(report._embeddings[rows]), table["truth"].iloc[rows], table[PRETRAINED].iloc[rows], strict=True
        )
    ]
    return {
        "points": points,
        "sheet": draw_sheet([report._images.sources[i] for i in rows]),
        "side": SIDE,
        "columns": SHEET_COLUMNS,
        "names": [report.name_of(i) for i in rows],
        "classes": [str(name) for name in classes],
        "shown": len(rows),
    }


def _short(name: Any) -> str:
    text = str(name)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
