"""Labels that are likely wrong, and copies, as `audit` finds them among the images of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featx.auditing import Audit, audit
from featx.pages import thumbnail

if TYPE_CHECKING:
    import pandas as pd

    from featx.compare._result import TransferReport

Tile = tuple[str, list[str], str]

_MOST_LABELS, _MOST_GROUPS, _MOST_OF_A_GROUP = 12, 6, 6
_PICTURE = 96


@dataclass(frozen=True)
class Suspects:
    """What a page shows.

    Attributes
    ----------
    labels : list of (picture, lines, name)
        The least likely labels first.
    groups : list of such lists
        Copies; those with different labels first.
    judged : bool
        Whether labels were: numbers are not.
    counts : dict of str to int
        As `Audit.counts`.
    explanations : list of str
        As `Audit.explanations`.
    """

    labels: list[Tile]
    groups: list[list[Tile]]
    judged: bool
    counts: dict[str, int]
    explanations: list[str]


def find_suspects(report: TransferReport) -> Suspects:
    """Audit the images of a report.

    Parameters
    ----------
    report : TransferReport
    """
    found = audit(
        report._images.sources,
        report.predictions["truth"].tolist(),
        groups=report._groups,
        task="regression" if report.regression else "classification",
        encoder=report._encoder,
        verbose=0,
    )
    judged = found.labels is not None
    return Suspects(_labels(report, found), _groups(report, found), judged, found.counts, found.explanations)


def _labels(report: TransferReport, found: Audit) -> list[Tile]:
    table = found.table.reset_index(drop=True)
    doubtful = table[table["suggested_label"].notna()].sort_values("label_quality", kind="stable")
    return [
        _tile(report, i, [f"is {row['label']}", f"more like {row['suggested_label']}"])
        for i, row in doubtful.head(_MOST_LABELS).iterrows()
    ]


def _groups(report: TransferReport, found: Audit) -> list[list[Tile]]:
    table = found.table.reset_index(drop=True)
    copies = table[table["duplicate_group"].notna()]
    order = np.argsort(~copies["duplicate_label_conflict"].to_numpy(), kind="stable")
    chosen = copies["duplicate_group"].iloc[order].unique()[:_MOST_GROUPS]
    return [_group(report, copies[copies["duplicate_group"] == number]) for number in chosen]


def _group(report: TransferReport, rows: pd.DataFrame) -> list[Tile]:
    return [_tile(report, i, [_said(row["label"])]) for i, row in rows.head(_MOST_OF_A_GROUP).iterrows()]


def _said(label: object) -> str:
    return f"is {label:.4g}" if isinstance(label, float) else f"is {label}"


def _tile(report: TransferReport, row: int, lines: list[str]) -> Tile:
    return thumbnail(report._images.sources[row], _PICTURE), lines, report.name_of(row)
