"""``featx predict``: a model and images -> a label for each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from featx.cli._command import add_command, add_json, add_paths, note, print_json
from featx.cli._files import apply_to_readable, find_files, is_table_name, replacing, write_rows

_COLUMNS = ["image", "label", "probability", "error"]
_EXAMPLES = """
featx predict model/ new/
featx predict model/ a.jpg b.jpg --json
featx predict model/ new/ -o labels.csv
featx predict model/ new.csv --root photos/
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "predict",
        run,
        help="label images with a model",
        description="Print image,label,probability,error as CSV, one row per image. The probability is that of the "
        "label, empty where\nthe model has none. An unreadable image has its error instead of a label, and the exit "
        "status is 1 then.",
        examples=_EXAMPLES,
    )
    command.add_argument("model", metavar="MODEL", help="the folder of a model or of a bundle")
    add_paths(command)
    table = command.add_argument_group("table", "Where FILE is a table: .csv, .tsv, .parquet, or an archive, .tar.")
    table.add_argument("--image", metavar="COLUMN", help="the column of images; default: the model's, or image")
    table.add_argument("--root", metavar="DIR", help="below which relative paths lie; default: the folder of the table")
    command.add_argument("-o", "--output", metavar="FILE", help="write the CSV there")
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    table = _table_of(parsed)
    with replacing(parsed.output) if parsed.output else nullcontext() as file:
        if table is None:
            rows = _predict(parsed.model, find_files(parsed.paths))
        else:
            rows = _predict_table(parsed.model, table, parsed.image, parsed.root)
        if file:
            write_rows(rows, _COLUMNS, file)
    if parsed.json:
        print_json(rows)
    elif not parsed.output:
        write_rows(rows, _COLUMNS, sys.stdout)
    bad = sum(bool(row["error"]) for row in rows)
    if bad or parsed.output:
        note(f"{len(rows):,} images, {bad:,} unreadable" + (f": {parsed.output}" if parsed.output else ""))
    return int(bad > 0)


def _table_of(parsed: argparse.Namespace) -> str | None:
    """Return the table of which rows are wanted; None where there are images."""
    from featx.exceptions import ParameterError

    if len(parsed.paths) == 1 and is_table_name(parsed.paths[0]):
        return parsed.paths[0]
    for name in ("image", "root"):
        if getattr(parsed, name) is not None:
            raise ParameterError(f"Got --{name} without a table. Expected one table, a .csv for example.")
    return None


def _predict_table(folder: str, table: str, image: str | None, root: str | None) -> list[dict[str, Any]]:
    """Label the rows of a table: rows of image, as the table has it, label, probability and error."""
    import featx
    from featx.images import location_of, open_table

    path = _model_folder(folder)
    if (path / "bundle.json").is_file():
        predictor = featx.Predictor(path, on_error="raise", on_missing=None)
        names = [entry["name"] for entry in predictor.manifest["inputs"] if entry["kind"] == "image"]
        frame, name = open_table(table, image or names[0], root=root)
        rows = predictor.predict_table(frame if len(predictor.manifest["inputs"]) > 1 else frame[name])
    else:
        model = featx.load(path)
        frame, name = open_table(table, image or _image_of(model), root=root)
        rows = label_rows(model, frame, name)
    return [{**row, "image": location_of(cell) or ""} for row, cell in zip(rows, frame[name], strict=True)]


def _image_of(model: Any) -> str | None:
    """Name the column of images of a pipeline of a table; None where it takes images alone."""
    from featx.table import TableEncoder

    first = getattr(model, "steps", [("", model)])[0][1]
    if not isinstance(first, TableEncoder):
        return None
    return first.image if isinstance(first.image, str) else first.image[0]


def _model_folder(folder: str) -> Path:
    from featx.exceptions import InputError

    path = Path(folder).expanduser()
    if not path.is_dir():
        found = "a file" if path.exists() else "not there"
        raise InputError(f"{path.absolute()} is {found}. Expected the folder of a model.")
    return path


def _predict(folder: str, images: list[str]) -> list[dict[str, Any]]:
    """Label images with the model or the bundle in a folder: rows of image, label, probability and error."""
    import featx

    path = _model_folder(folder)
    if (path / "bundle.json").is_file():
        return featx.Predictor(path, on_error="raise", on_missing="raise").predict_table(images)
    labelled, reasons = apply_to_readable(partial(label_images, featx.load(path)), images)
    answers = iter(labelled or ())
    rows = []
    for i, image in enumerate(images):
        label, probability = (None, None) if i in reasons else next(answers)
        rows.append({"image": image, "label": label, "probability": probability, "error": reasons.get(i, "")})
    return rows


def label_rows(model: Any, frame: Any, image: str) -> list[dict[str, Any]]:
    """Label the rows of a table; those whose image cannot be used have the reason instead."""
    from sklearn.pipeline import Pipeline

    from featx._image_encoder import ImageEncoder
    from featx.exceptions import ImageReadError

    first = model.steps[0][1] if isinstance(model, Pipeline) else model
    X = frame[image] if isinstance(first, ImageEncoder) else frame
    good, reasons = list(range(len(frame))), dict[int, str]()
    answers: Iterator[tuple[Any, float | None]] = iter(())
    while good:
        try:
            answers = iter(label_images(model, X.iloc[good]))
            break
        except ImageReadError as error:
            if error.stopped_after is not None:
                raise
            reasons |= {
                good[i]: reason for i, reason in zip(error.table["position"], error.table["reason"], strict=True)
            }
            good = [i for i in good if i not in reasons]
    rows = []
    for i in range(len(frame)):
        label, probability = (None, None) if i in reasons else next(answers)
        rows.append({"label": label, "probability": probability, "error": reasons.get(i, "")})
    return rows


def label_images(model: Any, images: Any) -> list[tuple[Any, float | None]]:
    """Return label and probability of each image, which is embedded once if the model is a Pipeline."""
    import numpy as np
    from sklearn.pipeline import Pipeline

    from featx.deploy import plain

    X: Any = images
    if isinstance(model, Pipeline) and len(model) > 1:
        X, model = model[:-1].transform(images), model[-1]
    labels = model.predict(X)
    if not hasattr(model, "predict_proba"):
        return [(label, None) for label in plain(labels)]
    table = model.predict_proba(X)
    # Not the largest: a tuned threshold may choose another label.
    columns = np.searchsorted(model.classes_, labels)
    return list(zip(plain(labels), table[np.arange(len(labels)), columns].tolist(), strict=True))
