"""``featx predict``: a model and images -> a label for each."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from featx.cli._command import add_command, add_json, add_paths, note, print_json
from featx.cli._files import apply_to_readable, find_files, replacing, write_rows

_COLUMNS = ["image", "label", "probability", "error"]
_EXAMPLES = """
featx predict model/ new/
featx predict model/ a.jpg b.jpg --json
featx predict model/ new/ -o labels.csv
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
    command.add_argument("-o", "--output", metavar="FILE", help="write the CSV there")
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    with replacing(parsed.output) if parsed.output else nullcontext() as file:
        rows = _predict(parsed.model, find_files(parsed.paths))
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


def _predict(folder: str, images: list[str]) -> list[dict[str, Any]]:
    """Label images with the model or the bundle in a folder: rows of image, label, probability and error."""
    import featx
    from featx.exceptions import InputError

    path = Path(folder).expanduser()
    if not path.is_dir():
        found = "a file" if path.exists() else "not there"
        raise InputError(f"{path.absolute()} is {found}. Expected the folder of a model.")
    if (path / "bundle.json").is_file():
        return featx.Predictor(path, on_error="raise", on_missing="raise").predict_table(images)
    labelled, reasons = apply_to_readable(partial(label_images, featx.load(path)), images)
    answers = iter(labelled or ())
    rows = []
    for i, image in enumerate(images):
        label, probability = (None, None) if i in reasons else next(answers)
        rows.append({"image": image, "label": label, "probability": probability, "error": reasons.get(i, "")})
    return rows


def label_images(model: Any, images: list[str]) -> list[tuple[Any, float | None]]:
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
