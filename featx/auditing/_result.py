"""Audit: what was found, row by row, and what to train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from featx._image_encoder import ImageEncoder
from featx.auditing._calibration import Calibration
from featx.auditing._label_issues import LabelIssues


@dataclass(frozen=True, repr=False)
class Audit:
    """What `audit` found.

    Attributes
    ----------
    table : pandas.DataFrame
        A row an image, in the order and with the index of X: image, label, ok, error ("" where it is ok),
        blank (all pixels are of one color; no duplicate), duplicate_group (a number that duplicates share; missing
        for an image without any), duplicate_label_conflict (duplicates with different labels), suggested_label (of a
        label that is likely wrong; None elsewhere), label_quality (0 to 1; NaN where it was not judged), outlier,
        outlier_score (NaN for unreadable images).
    groups : ndarray of shape (n,), int64
        For GroupKFold: duplicates, and what the user's groups join, share a number.
    calibration : Calibration or None
        The similarity that duplicates are told by, and how well it tells; None without a readable image.
    labels : LabelIssues or None
        How labels were judged; None if they were not.
    notes : list of str
        What could not be told, and why.
    encoder : ImageEncoder
        That was used.
    """

    table: pd.DataFrame
    groups: np.ndarray
    calibration: Calibration | None
    labels: LabelIssues | None
    notes: list[str]
    encoder: ImageEncoder

    @property
    def threshold(self) -> float:
        """Similarity from which images are duplicates; NaN without a readable image."""
        return float("nan") if self.calibration is None else self.calibration.threshold

    @property
    def counts(self) -> dict[str, int]:
        """How many of each were found.

        Returns
        -------
        dict
            images, unreadable, blank, duplicate_groups, copies (images beside the first of each group),
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
        """The counts in words, how they were made, and what could not be told."""
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
        """Sentences: the threshold with its rates, and the notes."""
        calibration = self.calibration
        if calibration is None:
            return self.notes
        missed = ", ".join(f"{share:.0%} {way}" for way, share in calibration.missed.items())
        text = (
            f"Copies are told from a similarity of {calibration.threshold:.4f} on. Of {calibration.n_sampled} images "
            f"copied to measure it, it misses {missed}; "
        )
        if calibration.measured:
            text += f"it is expected to take {calibration.false_share:.2%} of images for a copy of another one."
        else:
            text += "there are too few images to measure how often it errs."
        return [text, *self.notes]

    def clean(
        self, *, duplicates: bool = True, conflicts: bool = True, labels: bool = False, outliers: bool = False
    ) -> pd.DataFrame:
        """Choose the rows to train on; nothing is deleted on disk.

        Unreadable images are always left out. Likely wrong labels and outliers stay unless asked for: to look at them
        is better, since a model that is often wrong suspects many right labels.

        Parameters
        ----------
        duplicates : bool, default=True
            Keep the first of each group.
        conflicts : bool, default=True
            Leave out all images of a group with different labels, as nobody knows which is right. False keeps the
            first of each label.
        labels : bool, default=False
            Leave out labels that are likely wrong.
        outliers : bool, default=False
            Leave out outliers.

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
            kept[np.flatnonzero(kept)[self._repeated(table[kept])]] = False
        return table.loc[kept, ["image", "label"]]

    def _repeated(self, table: pd.DataFrame) -> np.ndarray:
        """Rows whose group has an earlier one, of the same label where labels differ."""
        label = pd.factorize(table["label"])[0] * table["duplicate_label_conflict"].to_numpy()
        both = pd.DataFrame({"group": table["duplicate_group"].to_numpy(), "label": label})
        return (both["group"].notna() & both.duplicated()).to_numpy(bool)

    def to_html(self, path: str | Path, *, most: int = 60) -> Path:
        """Write a page that shows what was found, with its pictures inside.

        Parameters
        ----------
        path : str or Path
        most : int, default=60
            Groups and images shown of each kind; the page says how many there are.

        Returns
        -------
        Path
            Where it is.

        Raises
        ------
        ParameterError
            If it cannot be written.
        MissingDependencyError
            If the extra ``report`` is not installed.
        """
        from featx.auditing._page import write_audit

        return write_audit(self, path, most)

    def __repr__(self) -> str:
        return self.summary
