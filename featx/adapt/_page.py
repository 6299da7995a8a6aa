"""An AdaptationReport -> one page that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx._optional import import_optional
from featx.pages import figure, write_page

if TYPE_CHECKING:
    import pandas as pd

    from featx.adapt._result import AdaptationReport

_TEMPLATE = Path(__file__).parent / "adaptation.html"
_TONES = {"helps": "good", "hurts": "bad", "undecided": "unsure"}
_COLUMNS = ["method", "accuracy", "95 % interval", "gain", "interval", "chosen", "score", "proxy A", "time"]


def write_report(report: AdaptationReport, path: str | Path) -> Path:
    """Write the page of a report; see `AdaptationReport.to_html`."""
    import_optional("jinja2", extra="report", purpose="A page")
    rows = [_row(name, row) for name, row in report.summary.iterrows()]
    known = [i for i in range(len(_COLUMNS)) if any(row[i] for row in rows)]  # without labels most are empty
    return write_page(
        path,
        _TEMPLATE,
        title="Does domain adaptation help?",
        report=report,
        tone=_TONES[report.word],
        chart=figure(report.plot().figure),
        planes=figure(report.plot_domains()),
        columns=[_COLUMNS[i] for i in known],
        rows=[[row[i] for i in known] for row in rows],
        best=list(report.summary.index).index(report.best),
    )


def _row(name: str, row: pd.Series) -> list[str]:
    points = [_text(100 * row[column], "+.1f") for column in ("difference", "difference_low", "difference_high")]
    return [
        name,
        _text(row["accuracy"], ".3f"),
        _span(_text(row["low"], ".3f"), _text(row["high"], ".3f")),
        points[0],
        _span(*points[1:]),
        row["parameter"],
        _text(row["unsupervised_score"], ".3f"),
        _text(row["proxy_a"], ".2f"),
        f"{row['seconds']:,.1f} s",
    ]


def _text(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(value, form).replace("-", "\N{MINUS SIGN}")


def _span(low: str, high: str) -> str:
    return f"{low} to {high}" if low else ""
