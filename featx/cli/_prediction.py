"""A model's folder and images -> rows of image, label, probability and error."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import featx
from featx.cli._readable import apply_to_readable
from featx.deploy import plain
from featx.exceptions import InputError


def predict(folder: str, images: list[str]) -> list[dict[str, Any]]:
    """Label images.

    Parameters
    ----------
    folder : str
        Of a model, as `featx.save` writes it, or of a bundle.
    images : list of str

    Returns
    -------
    list of dict
        image, label, probability (None where the model has none) and error ("" where there is none), in order.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        found = "a file" if path.exists() else "not there"
        raise InputError(f"{path.absolute()} is {found}. Expected the folder of a model.")
    if (path / "bundle.json").is_file():
        return featx.Predictor(path, on_error="raise", on_missing="raise").predict_table(images)
    labelled, reasons = apply_to_readable(partial(_label, featx.load(path)), images)
    answers = iter(labelled or ())
    rows = []
    for i, image in enumerate(images):
        label, probability = (None, None) if i in reasons else next(answers)
        rows.append({"image": image, "label": label, "probability": probability, "error": reasons.get(i, "")})
    return rows


def _label(model: Any, images: list[str]) -> list[tuple[Any, float | None]]:
    """Label and probability of each image, which is embedded once where the model is a Pipeline."""
    from sklearn.pipeline import Pipeline

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
