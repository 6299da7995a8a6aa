"""Predict with the pipeline itself: what a bundle must answer, to a sample and to the odd values that it takes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx._image_encoder import ImageEncoder
from featx._rebuild import rebuild
from featx.deploy._bundle import list_encoders
from featx.deploy._columns import UNKNOWN, Columns, read_columns
from featx.deploy.export._agreement import ask
from featx.deploy.export._inputs import ImageInput, Parts, ValueInput, in_float32, unused, walk
from featx.exceptions import ExportError, FeatxError
from featx.images import as_column, members_of

_SIDES = (64, 120, 200, 320)
_POLICIES = ("on_error", "on_missing")
# What a policy is for; an empty file is one that cannot be read.
_ODD_IMAGES: dict[str, Any] = {"on_missing": None, "on_error": b""}
_NONE = object()
_NUMBERS = (0.0, 1.0, -1.0, 0.5, 2.0, 10.0, 100.0)


@dataclass(frozen=True)
class Expected:
    """What a bundle must answer.

    Attributes
    ----------
    batches : list
        The sample, then a row with each odd value that the pipeline takes.
    answers : dict of str to ndarray
        What the pipeline answers to them, one after the other: ``embedding``, and ``label`` and scores where it has a
        head.
    values : dict of str to ndarray of shape (n, 1)
        Their columns of other things than images, as the bundle reads them.
    sample : Columns
        The sample alone, as the bundle reads it.
    inputs : list of dict
        The inputs of the bundle, for its manifest.
    policies : dict of str to str
        What becomes of images that cannot be read (``on_error``) and of missing ones (``on_missing``).
    takes_missing : bool
        Whether a value of any column may be missing.
    unknown_size : list of str
        Columns of numbers of which neither a sample of the user's nor a scaler shows how large they are.
    """

    batches: list[Any]
    answers: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    sample: Columns
    inputs: list[dict[str, Any]]
    policies: dict[str, str]
    takes_missing: bool
    unknown_size: list[str]


def predict(pipeline: Any, parts: Parts, sample: Any, store: Path) -> Expected:
    """Have a pipeline predict a sample, and find out which odd values it takes.

    Parameters
    ----------
    pipeline : estimator
        The fitted pipeline; it is not changed.
    parts : Parts
        Its parts.
    sample : container of images, DataFrame or None
        Rows of the user's; None makes some.
    store : Path
        The folder in which embeddings of made-up rows are kept for a while.

    Returns
    -------
    Expected
        What a bundle must answer.

    Raises
    ------
    ExportError
        If the pipeline cannot predict the sample, or a bundle cannot read it.
    ImageReadError
        If an image of the sample cannot be read.
    """
    rows = builtin_sample(parts) if sample is None else _to_pandas(sample)
    reference = Reference(pipeline, parts, store, own_cache=sample is not None)
    rules, odd_rows = reference.probe(rows)
    images = _image_entries(parts, rules)
    inputs = [
        *images,
        *({"name": v.name, "kind": v.kind, "tensor": v.tensor, **rules[v.name], **_nulls(v)} for v in parts.values),
    ]
    batches = [rows, *odd_rows]
    answers = stack([reference.answers(batch) for batch in batches])
    columns = [read_columns(batch, inputs) for batch in batches]
    if bad := [reason for part in columns for reason in part.reasons.values()]:
        raise ExportError(f"The pipeline takes the sample, but a bundle cannot read it: {bad[0]}.")
    values = stack([part.values for part in columns])
    # Large numbers lose digits in float32: only numbers of their size show whether that matters.
    numbers = [value for value in parts.values if value.kind == "number" and not value.categories]
    unknown_size = [value.name for value in numbers if sample is None and not value.typical]
    takes_missing = any(rule["missing"] for rule in rules.values())
    return Expected(batches, answers, values, columns[0], inputs, _policies(inputs), takes_missing, unknown_size)


def stack(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put the rows of several answers one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _policies(inputs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the policies of all columns together, which hold where a column has none of its own."""
    encoders = list_encoders(inputs)
    return {policy: _strictest(encoder[policy] for encoder in encoders) for policy in _POLICIES}


def _strictest(policies: Iterable[str]) -> str:
    return "nan" if all(policy == "nan" for policy in policies) else "raise"


class Reference:
    """A quiet copy of a pipeline, in float32: what it answers, and which odd values it takes.

    Parameters
    ----------
    pipeline : estimator
        The fitted pipeline.
    parts : Parts
        Its parts.
    store : Path
        The folder in which embeddings are kept for a while.
    own_cache : bool
        Whether encoders use the cache that they have, if they have one, instead.
    """

    def __init__(self, pipeline: Any, parts: Parts, store: Path, *, own_cache: bool):
        copies: dict[int, ImageEncoder] = {}
        for encoder in (part for part in walk(pipeline) if isinstance(part, ImageEncoder)):
            quiet = copies[id(encoder)] = in_float32(encoder)
            quiet.verbose = 0
            quiet.cache = (own_cache and encoder.cache) or str(store)
        self._pipeline = rebuild(pipeline, copies)
        self._images = [replace(image, encoder=copies[id(image.encoder)]) for image in parts.images]
        self._values = parts.values
        self._is_table = parts.is_table
        self._has_head = parts.head is not None
        self._hint = "" if own_cache else " The built-in sample is made up: give rows of your own as sample=."

    def answers(self, X: Any) -> dict[str, np.ndarray]:
        """Return label, scores and embedding of some rows.

        Raises
        ------
        ExportError
            If the pipeline cannot predict them.
        ImageReadError
            If an image of the sample cannot be read.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on rows that become NaN, on unknown categories
            embeddings = [image.encoder.transform(self._column(X, image.name)) for image in self._images]
            embedding = np.concatenate([np.asarray(rows, np.float32) for rows in embeddings], axis=1)
            try:
                return {**(ask(self._pipeline, X) if self._has_head else {}), "embedding": embedding}
            except FeatxError:
                raise
            except Exception as error:  # a user's own steps may raise anything
                raise ExportError(f"The pipeline itself cannot predict the sample: {error}.{self._hint}") from error

    def probe(self, X: Any) -> tuple[dict[str, dict[str, Any]], list[Any]]:
        """Find out which odd values the pipeline takes: missing ones, and categories that it has never seen.

        Parameters
        ----------
        X : container of images, or DataFrame
            A sample of what the pipeline takes.

        Returns
        -------
        rules : dict of str to dict
            For each column ``missing``; where it is not an image also ``known`` and
            ``others``, as `read_columns` takes them; where it has several images a row also ``some``, whether some of
            them may be missing.
        probes : list
            A row with each odd value that is taken: the bundle must take it alike.
        """
        rules: dict[str, dict[str, Any]] = {}
        probes: list[Any] = []
        for name in dict.fromkeys(image.name for image in self._images):
            encoders = [image.encoder for image in self._images if image.name == name]
            odd = next((odd for policy, odd in _ODD_IMAGES.items() if _tolerates(encoders, policy)), _NONE)
            cells = {} if odd is _NONE else {"missing": odd}
            if odd is not _NONE and all(encoder.combine is not None for encoder in encoders):
                cells["some"] = [*self._some_image(X, name), odd]
            odd_rows = {rule: self._with_image(X, name, cell) for rule, cell in cells.items()}
            rules[name] = {"missing": False, **{rule: self._accepts(row) for rule, row in odd_rows.items()}}
            probes += [row for rule, row in odd_rows.items() if rules[name][rule]]
        for value in self._values:
            rows = {name: _with_value(X, value, odd) for name, odd in _odd_values(value).items()}
            taken = [name for name, row in rows.items() if self._accepts(row)]
            rules[value.name] = rule = {"known": value.categories, **_rules(value, taken)}
            if value.kind == "integer" and not rule["missing"]:
                taken = [name for name in taken if name != "NaN"]
            probes += [rows[name] for name in taken]
        return rules, probes

    def _some_image(self, X: Any, name: str) -> list[Any]:
        return next((there[:1] for there in map(members_of, as_column(self._column(X, name)).sources) if there), [])

    def _with_image(self, X: Any, name: str, source: Any) -> Any:
        if self._column(X, name) is X:
            return [source]
        row = X.iloc[[0]].copy()
        row[name] = pd.Series([source], index=row.index, dtype=object)
        return row

    def _accepts(self, X: Any) -> bool:
        try:
            self.answers(X)
        except FeatxError:
            return False
        return True

    def _column(self, X: Any, name: str) -> Any:
        return X[name] if self._is_table else X


def _tolerates(encoders: Sequence[ImageEncoder], policy: str) -> bool:
    return all(getattr(encoder, policy) == "nan" for encoder in encoders)


def _image_entries(parts: Parts, rules: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Describe the columns of images for the manifest, each with its first encoder, and ``also`` the others."""
    taken = {image.tensor for image in parts.images} | {value.tensor for value in parts.values}
    beside: dict[str, str] = {}  # tensor of pixels -> what else tells of it
    entries: dict[str, dict[str, Any]] = {}
    for image in parts.images:
        rule = rules[image.name]
        policies = {policy: getattr(image.encoder, policy) if any(rule.values()) else "raise" for policy in _POLICIES}
        own = [other.encoder for other in parts.images if other.tensor == image.tensor]
        is_several = image.encoder.combine is not None
        is_tolerant = any(rule.values()) and any(_tolerates(own, policy) for policy in _POLICIES)
        if image.tensor not in beside and (is_several or is_tolerant):
            beside[image.tensor] = unused(f"{image.tensor}_{'rows' if is_several else 'absent'}", taken)
        entry = _image_entry(image, policies, beside.get(image.tensor), takes_none=rule["missing"])
        if image.name in entries:
            entries[image.name].setdefault("also", []).append(entry)
        else:
            entries[image.name] = entry
    return list(entries.values())


def _image_entry(
    image: ImageInput, policies: Mapping[str, str], beside: str | None, *, takes_none: bool
) -> dict[str, Any]:
    """Describe an encoder of a column of images."""
    spec, combine = image.specs[0], image.encoder.combine
    rows = {"combine": combine, "rows": beside, "n_images": image.n_images, "takes_none": takes_none}
    return {
        "name": image.name,
        "kind": "image",
        "tensor": image.tensor,
        "absent": None if combine else beside,
        **(rows if combine else {}),
        **policies,
        "preprocess": asdict(spec.preprocess),
        # A reader that knows no "decode" asks for "at_least", and must not take fast pixels for exact ones.
        **({"at_least": None} if spec.decode == "exact" else {"decode": spec.decode}),
        "dim": image.dim,
        "encoder": {"name": spec.name, "weights": spec.weights, "license": spec.license},
        "fingerprints": [spec.fingerprint() for spec in image.specs],
    }


def _odd_values(value: ValueInput) -> dict[str, Any]:
    """List values that a pipeline may take or not; those most like missing ones first."""
    if value.kind != "category":
        unknown = {} if not value.categories else {"others": _next(max(value.categories), value.kind)}
        return {"NaN": np.nan, **unknown}
    missing = {"NaN": np.nan, "None": None, "NA": pd.NA}
    # Texts that look like missing values.
    texts = {text: text for text in ("nan", "None") if text in (value.categories or ())}
    return {value.null: missing[value.null], **missing, "others": UNKNOWN, **texts}


def _next(largest: float, kind: str) -> float:
    # float32 does not distinguish it from the largest.
    return largest + 1 if kind == "integer" else float(np.nextafter(largest, np.inf))


def _rules(value: ValueInput, taken: list[str]) -> dict[str, Any]:
    others = "others" in taken and value.categories is not None
    if value.kind == "category":
        return {"missing": [name for name in taken if name in ("NaN", "None", "NA")], "others": others}
    if others and not value.only_categories:  # what else sees the column wants the number itself
        return {"missing": "NaN" in taken and value.kind == "number", "known": None, "others": False}
    return {"missing": "NaN" in taken and (value.kind == "number" or others), "others": others}


def _nulls(value: ValueInput) -> dict[str, Any]:
    return {} if value.nulls is None else {"nulls": value.nulls}


def _with_value(X: Any, value: ValueInput, odd: Any) -> Any:
    row = X.iloc[[0]].copy()
    row[value.name] = pd.Series([odd], index=row.index, dtype=object if value.kind == "category" else None)
    return row


def builtin_sample(parts: Parts) -> Any:
    """Make rows that a pipeline takes.

    Parameters
    ----------
    parts : Parts
        The pipeline's parts.

    Returns
    -------
    list of ndarray or of lists of them, or pandas.DataFrame
        32 parts of scikit-learn's two photos, uint8; in a table where the pipeline
        has other columns: a few numbers, some of the size that scalers were fitted on, and each of the
        known categories.
    """
    crops = _crops()
    names = list(dict.fromkeys(image.name for image in parts.images))
    images = {name: _cells([one for one in parts.images if one.name == name], crops, i) for i, name in enumerate(names)}
    if not parts.is_table:
        return images[names[0]]
    columns = {name: pd.Series(cells, dtype=object) for name, cells in images.items()}
    columns |= {value.name: _values(value, len(crops), i) for i, value in enumerate(parts.values)}
    return pd.DataFrame(columns)


def _cells(images: Sequence[ImageInput], crops: list[np.ndarray], shift: int) -> list[Any]:
    """Make cells of a column: images, or lists of them where all of its encoders take those."""
    crops = crops[shift:] + crops[:shift]
    if any(image.encoder.combine is None for image in images):
        return crops
    # As many as each row must have; else one, two or three.
    n = max((image.n_images or 0 for image in images), default=0)
    return [[crops[(i + j) % len(crops)] for j in range(n or 1 + i % 3)] for i in range(len(crops))]


def _crops() -> list[np.ndarray]:
    """Cut parts of several sizes and shapes, some of them grey."""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    crops = []
    for i in range(32):
        height, width = _SIDES[i % 4], _SIDES[i // 4 % 4]
        y, x = 13 * i % (427 - height), 29 * i % (640 - width)
        crop = np.ascontiguousarray(photos[i % 2][y : y + height, x : x + width])
        crops.append(crop[:, :, 1] if i % 8 == 7 else crop)
    return crops


def _values(value: ValueInput, n: int, shift: int) -> list[Any]:
    choices = value.categories or [*value.typical, *_NUMBERS]
    return [choices[(i + shift) % len(choices)] for i in range(n)]


def _to_pandas(sample: Any) -> Any:
    """Make a pandas frame of a polars one; a missing text stays None."""
    if not (hasattr(sample, "to_pandas") and hasattr(sample, "columns")):
        return sample
    frame = sample.to_pandas()
    return frame.assign(
        **{n: pd.Series(sample[n].to_list(), dtype=object) for n in frame if frame[n].dtype.kind == "O"}
    )
