"""Audit: what was found, image by image, what to train on, and a page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx._image_encoder import ImageEncoder
from featx._validate import check_integer
from featx.auditing._label_issues import LabelIssues
from featx.auditing._similarity import Calibration
from featx.exceptions import describe
from featx.images import location_of
from featx.pages import thumbnail, write_page

_TEMPLATE = Path(__file__).with_name("audit.html")
_SIDE = 160
_MOST_IN_GROUP = 12


@dataclass(frozen=True, repr=False)
class Audit:
    """Result of `audit`.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per image, in the order and with the index of X, with the columns

        - ``image``, ``label``
        - ``ok``; ``error``: why the image cannot be read, "" if it can
        - ``blank``: whether all pixels have one color; such images never count as duplicates
        - ``duplicate_group``: a number that duplicates share; missing for an image without any
        - ``duplicate_label_conflict``: whether duplicates have different labels
        - ``suggested_label``: for a label that is likely wrong; None elsewhere
        - ``label_quality``: 0 to 1; NaN if the label was not checked
        - ``outlier``; ``outlier_score``: NaN for unreadable images
    groups : ndarray of shape (n,), int64
        For GroupKFold: duplicates, and the rows that the user's groups join, share a number.
    calibration : Calibration or None
        The similarity from which images count as duplicates, and its error rates; None if no image can be read.
    labels : LabelIssues or None
        Details of the check of labels; None if they were not checked.
    notes : list of str
        What could not be checked, and why.
    encoder : ImageEncoder
        The encoder that was used.
    """

    table: pd.DataFrame
    groups: np.ndarray
    calibration: Calibration | None
    labels: LabelIssues | None
    notes: list[str]
    encoder: ImageEncoder

    @property
    def threshold(self) -> float:
        """Similarity from which images count as duplicates; NaN if no image can be read."""
        return float("nan") if self.calibration is None else self.calibration.threshold

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of what was found.

        Returns
        -------
        dict
            images, unreadable, blank, duplicate_groups, copies (images other than the first of each group),
            conflicting_groups, label_issues, outliers.
        """
        table, conflict = self.table, self.table["duplicate_label_conflict"]
        n_groups = table["duplicate_group"].nunique()
        return {
            "images": len(table),
            "unreadable": int((~table["ok"]).sum()),
            "blank": int(table["blank"].sum()),
            "duplicate_groups": int(n_groups),
            "copies": int(table["duplicate_group"].notna().sum() - n_groups),
            "conflicting_groups": int(table["duplicate_group"][conflict].nunique()),
            "label_issues": int(table["suggested_label"].notna().sum()),
            "outliers": int(table["outlier"].sum()),
        }

    @property
    def summary(self) -> str:
        """Text with the counts, how they were obtained, and what could not be checked."""
        counts = self.counts
        lines = [
            f"{counts['images']:,} images",
            f"  {counts['unreadable']:,} unreadable",
            f"  {counts['blank']:,} blank, all of one color",
            f"  {counts['copies']:,} copies of others, in {counts['duplicate_groups']:,} groups; "
            f"{counts['conflicting_groups']:,} groups with different labels",
            f"  {counts['label_issues']:,} labels likely wrong" if self.labels else "  labels not judged",
            f"  {counts['outliers']:,} outliers",
        ]
        return "\n".join([*lines, *self.explanations])

    @property
    def explanations(self) -> list[str]:
        """Sentences: the threshold with its error rates, and the notes."""
        calibration = self.calibration
        if calibration is None:
            return self.notes
        missed = ", ".join(f"{share:.0%} {kind}" for kind, share in calibration.missed.items())
        text = (
            f"Images count as copies from a similarity of {calibration.threshold:.4f} on. On copies of "
            f"{calibration.n_sampled} images this misses {missed}; "
        )
        if calibration.measured:
            text += f"about {calibration.false_share:.2%} of images are expected to be called a copy by mistake."
        else:
            text += "there are too few images to measure how often it is wrong."
        return [text, *self.notes]

    def clean(
        self, *, duplicates: bool = True, conflicts: bool = True, labels: bool = False, outliers: bool = False
    ) -> pd.DataFrame:
        """Choose the rows to train on; nothing is deleted on disk.

        Unreadable images are always left out. Likely wrong labels and outliers are kept by default: it is better to
        look at them, since a model that is often wrong suspects many correct labels.

        Parameters
        ----------
        duplicates : bool, default=True
            Whether to keep only the first image of each group.
        conflicts : bool, default=True
            Whether to leave out all images of a group with different labels, since it is unknown which is right. False
            keeps the first image of each label.
        labels : bool, default=False
            Whether to leave out images whose label is likely wrong.
        outliers : bool, default=False
            Whether to leave out outliers.

        Returns
        -------
        pandas.DataFrame
            Columns image and label, with the index of X.
        """
        table = self.table
        kept = table["ok"].to_numpy(copy=True)
        if conflicts:
            kept &= ~table["duplicate_label_conflict"].to_numpy()
        if labels:
            kept &= table["suggested_label"].isna().to_numpy()
        if outliers:
            kept &= ~table["outlier"].to_numpy()
        if duplicates:
            kept[np.flatnonzero(kept)[_repeated(table[kept])]] = False
        return table.loc[kept, ["image", "label"]]

    def to_html(self, path: str | Path, *, most: int = 60) -> Path:
        """Write a self-contained page that shows what was found.

        Parameters
        ----------
        path : str or Path
            The file; an existing one is replaced.
        most : int, default=60
            Maximum number of groups and images shown of each kind; the page says how many there are.

        Returns
        -------
        Path
            The path of the page.

        Raises
        ------
        ParameterError
            If it cannot be written.
        MissingDependencyError
            If the extra ``report`` is not installed.
        """
        check_integer("most", most, 0)
        table = self.table
        suspects = table[table["suggested_label"].notna()].sort_values("label_quality", kind="stable")
        outliers = table[table["outlier"]].sort_values("outlier_score", ascending=False, kind="stable")
        return write_page(
            path,
            _TEMPLATE,
            title="Audit of images" if table["label"].isna().all() else "Audit of images and labels",
            counts=self.counts,
            labels_checked=self.labels is not None,
            encoder=str(getattr(self.encoder.encoder, "name", self.encoder.encoder)),
            explanations=self.explanations,
            most=most,
            groups=_group_tiles(table, most),
            issues=_tiles(suspects, most, _issue_lines),
            outliers=_tiles(outliers, most, _outlier_lines),
            unreadable=[[_name(i, row), row["error"]] for i, row in table[~table["ok"]].head(most).iterrows()],
            blank=[[_name(i, row)] for i, row in table[table["blank"]].head(most).iterrows()],
        )

    def __repr__(self) -> str:
        return self.summary


def _repeated(table: pd.DataFrame) -> np.ndarray:
    """Find rows whose group has an earlier one, with the same label if labels differ."""
    label = pd.factorize(table["label"])[0] * table["duplicate_label_conflict"].to_numpy()
    both = pd.DataFrame({"group": table["duplicate_group"].to_numpy(), "label": label})
    return (both["group"].notna() & both.duplicated()).to_numpy(bool)


def _group_tiles(table: pd.DataFrame, most: int) -> list[dict[str, Any]]:
    """List groups of duplicates, those with different labels first, then the larger ones."""
    rows = table.assign(position=range(len(table)))[table["duplicate_group"].notna().to_numpy()]
    groups = [group for _, group in rows.groupby("duplicate_group")]
    groups.sort(key=lambda group: (not group["duplicate_label_conflict"].iloc[0], -len(group)))
    return [
        {
            "conflict": bool(group["duplicate_label_conflict"].iloc[0]),
            "size": len(group),
            "tiles": _tiles(group, _MOST_IN_GROUP, _label_lines),
        }
        for group in groups[:most]
    ]


def _tiles(
    rows: pd.DataFrame, most: int, lines: Callable[[pd.Series], Iterable[str]]
) -> list[tuple[str, list[str], str]]:
    return [
        (thumbnail(row["image"], _SIDE), [*lines(row), Path(_name(index, row)).name], _name(index, row))
        for index, row in rows.head(most).iterrows()
    ]


def _label_lines(row: pd.Series) -> list[str]:
    return [] if pd.isna(row["label"]) else [f"{row['label']}"]


def _issue_lines(row: pd.Series) -> list[str]:
    return [f"given: {row['label']}", f"suggested: {row['suggested_label']}", f"quality {row['label_quality']:.2f}"]


def _outlier_lines(row: pd.Series) -> list[str]:
    return [*_label_lines(row), f"score {row['outlier_score']:.2f}"]


def _name(index: Any, row: pd.Series) -> str:
    """Name an image by its path, or by its index if it has none."""
    source = row["image"]
    return location_of(source) or (f"row {index}" if row["ok"] else f"row {index}: {describe(source)}")
