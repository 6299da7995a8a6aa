"""An audit -> a page to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from featx.exceptions import ParameterError, describe
from featx.images import is_path
from featx.pages import thumbnail, write_page

if TYPE_CHECKING:
    from featx.auditing._result import Audit

_TEMPLATE = Path(__file__).with_name("audit.html")
_SIDE = 160
_MOST_IN_GROUP = 12


def write_audit(audit: Audit, path: str | Path, most: int) -> Path:
    """Write the page; see `Audit.to_html`."""
    if most < 0:
        raise ParameterError(f"Got most={most}. Expected how many to show: 0 or more.")
    return write_page(
        path,
        _TEMPLATE,
        title="Audit of images" if audit.table["label"].isna().all() else "Audit of images and labels",
        counts=audit.counts,
        judged=audit.labels is not None,
        encoder=str(getattr(audit.encoder.encoder, "name", audit.encoder.encoder)),
        explanations=audit.explanations,
        most=most,
        groups=_groups(audit.table, most),
        issues=_tiles(_suspects(audit.table), most, _issue_lines),
        outliers=_tiles(_outliers(audit.table), most, _outlier_lines),
        unreadable=_unreadable(audit.table, most),
        blank=[[_name(index, row)] for index, row in audit.table[audit.table["blank"]].head(most).iterrows()],
    )


def _groups(table: pd.DataFrame, most: int) -> list[dict[str, Any]]:
    """Groups of duplicates, those of different labels first, then the larger ones."""
    rows = table.assign(position=range(len(table)))[table["duplicate_group"].notna().to_numpy()]
    groups = [group for _, group in rows.groupby("duplicate_group")]
    groups.sort(key=lambda group: (not group["duplicate_label_conflict"].iloc[0], -len(group)))
    return [
        {
            "conflict": bool(group["duplicate_label_conflict"].iloc[0]),
            "size": len(group),
            "tiles": _tiles(group, _MOST_IN_GROUP, _group_lines),
        }
        for group in groups[:most]
    ]


def _suspects(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["suggested_label"].notna()].sort_values("label_quality", kind="stable")


def _outliers(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["outlier"]].sort_values("outlier_score", ascending=False, kind="stable")


def _unreadable(table: pd.DataFrame, most: int) -> list[list[str]]:
    bad = table[~table["ok"]].head(most)
    return [[_name(index, row), row["error"]] for index, row in bad.iterrows()]


def _tiles(
    rows: pd.DataFrame, most: int, lines: Callable[[pd.Series], Iterable[str]]
) -> list[tuple[str, list[str], str]]:
    return [
        (thumbnail(row["image"], _SIDE), [*lines(row), _short(_name(index, row))], _name(index, row))
        for index, row in rows.head(most).iterrows()
    ]


def _group_lines(row: pd.Series) -> list[str]:
    return [] if pd.isna(row["label"]) else [f"{row['label']}"]


def _issue_lines(row: pd.Series) -> list[str]:
    return [f"given: {row['label']}", f"suggested: {row['suggested_label']}", f"quality {row['label_quality']:.2f}"]


def _outlier_lines(row: pd.Series) -> list[str]:
    return [*_group_lines(row), f"score {row['outlier_score']:.2f}"]


def _name(index: Any, row: pd.Series) -> str:
    """A path; of other images the index."""
    source = row["image"]
    return str(source) if is_path(source) else f"row {index}" if row["ok"] else f"row {index}: {describe(source)}"


def _short(name: str) -> str:
    return Path(name).name
