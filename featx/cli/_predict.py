"""``featx predict``: a model or a bundle, and images -> a label for each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.cli._command import add_command, add_json, add_paths, print_json
from featx.cli._files import apply_to_readable, images_of_model, open_columns
from featx.deploy.batch import add_options
from featx.exceptions import InputError, ParameterError

if TYPE_CHECKING:
    from featx.deploy.batch import Answer, Field, Row, Rows

_CHUNK = 1024  # rows that a model answers at once
_EXAMPLES = """
featx predict model/ new/
featx predict model/ a.jpg b.jpg --json
featx predict bundle/ new/ -o labels.parquet --resume
featx predict model/ new.csv --root photos/
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "predict",
        run,
        help="label images with a model",
        description="Print image,label,probability,error as CSV, one row per image. The probability is that of the "
        "label, empty where\nthe model has none. A model of several outputs has label_0,label_1 instead, and one that "
        "only embeds a column for each\nnumber. An unreadable image has its error instead, and the exit status is 1 "
        "then. A bundle's own predict.py does the\nsame where featx is not installed.",
        examples=_EXAMPLES,
    )
    command.add_argument("model", metavar="MODEL", help="the folder of a model or of a bundle")
    add_paths(command)
    add_options(command)
    add_json(command)


def run(parsed: argparse.Namespace) -> int:
    if parsed.json and parsed.output:
        raise ParameterError(f"Got --json and -o {parsed.output}. Expected one of them: --json prints.")
    path = _model_folder(parsed.model)
    document = _Document() if parsed.json else None
    status = (_with_bundle if (path / "bundle.json").is_file() else _with_model)(path, parsed, document)
    if document is not None:
        print_json(document.rows)
    return status


class _Document:
    """Answers that are one document of JSON."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.done = self.bad = 0
        self._names: list[str] = []

    def of(self, fields: Sequence[Field]) -> _Document:
        """Take what answers hold."""
        self._names = ["image", *(field.name for field in fields), "error"]
        return self

    def rest(self, rows: Iterable[Row]) -> Iterator[Row]:
        return iter(rows)

    def write(self, answers: Sequence[Sequence[Any]]) -> None:
        self.rows += [dict(zip(self._names, answer, strict=True)) for answer in answers]
        self.done += len(answers)
        self.bad += sum(bool(answer[-1]) for answer in answers)

    def finish(self) -> None:
        """Wait to be printed."""


def _with_bundle(path: Path, parsed: argparse.Namespace, document: _Document | None) -> int:
    """Label with a bundle, as its own predict.py does; a table may be of more kinds, and its images anywhere."""
    import featx
    from featx.deploy.batch import is_text_table, predict_with_bundle, table_rows
    from featx.images import Doors

    predictor = featx.Predictor(path, on_error="raise")
    inputs, table = predictor.manifest["inputs"], _table_of(parsed)
    images = [entry["name"] for entry in inputs if entry["kind"] == "image"]
    if table is None:
        rows = None
    elif len(images) == 1 and is_text_table(table) and Path(table).expanduser().is_file():
        root = parsed.root or Path(table).expanduser().absolute().parent
        rows = table_rows(table, inputs, parsed.image, locate=Doors(root, allow_http=True).open)
    else:
        rows = _frame_rows(table, images, parsed, alone=len(inputs) == 1)
    return predict_with_bundle(predictor, parsed, rows, document.of if document else None)


def _with_model(path: Path, parsed: argparse.Namespace, document: _Document | None) -> int:
    """Label with a model, which holds a table whole."""
    from sklearn.pipeline import FeatureUnion

    import featx
    from featx._image_encoder import ImageEncoder
    from featx.deploy.batch import Field, answer_rows, folder_rows

    model, table = featx.load(path), _table_of(parsed)
    for part in model.get_params().values():
        if isinstance(part, ImageEncoder):
            part.verbose = 0  # one progress is enough
    embeds = not hasattr(model, "predict")
    ask = partial(_embed_images if embeds else label_images, model)
    answer: Callable[[Any], Sequence[Answer]]
    if table is None:
        rows, answer = folder_rows(parsed.paths), partial(_answer_files, ask)
    else:
        alone = isinstance(getattr(model, "steps", [("", model)])[0][1], ImageEncoder | FeatureUnion)
        rows = _frame_rows(table, images_of_model(model), parsed, alone=alone)
        answer = partial(answer_frame, ask)
    made_of = {"model": json.loads((path / "model.json").read_bytes())["sha256"]}
    fields: Sequence[Field]
    if embeds:
        fields = [Field("embedding", "f4", tuple(map(str, model.get_feature_names_out())))]
    else:
        fields = _fields_of_labels(model, rows, answer)
    output = document.of if document else None
    return answer_rows(parsed, rows, answer, made_of, fields=fields, chunk=_CHUNK, output=output)


def _fields_of_labels(model: Any, rows: Rows, answer: Callable[[Any], Sequence[Answer]]) -> Sequence[Field]:
    """Tell by the first row that has an answer how many labels there are: estimators have no common word for it."""
    import numpy as np

    from featx.deploy.batch import label_fields

    classes = getattr(model, "classes_", 0.0)
    kinds = {np.asarray(part).dtype.kind for part in (classes if isinstance(classes, list) else [classes])}
    answers = (answer(rows.gather([row.cells]))[0] for row in rows if not row.problem)
    label = next((answer[0] for answer in answers if not answer[-1]), None)
    return label_fields(kinds.pop() if len(kinds) == 1 else "O", len(label) if isinstance(label, list) else None)


def _frame_rows(table: str, images: Sequence[str], parsed: argparse.Namespace, *, alone: bool) -> Rows:
    """Read a table of any kind; `alone`: a model takes its images and no other columns."""
    from featx.deploy.batch import Row, Rows, state_of
    from featx.images import location_of

    frame, name = open_columns(table, images, parsed.image, parsed.root)
    X = frame[name] if alone else frame

    def read() -> Iterator[Row]:
        for i, cell in enumerate(frame[name]):
            yield Row(location_of(cell) or "", i)

    return Rows(read, lambda rows: X.iloc[rows], {"table": state_of(table), "columns": name})


def _table_of(parsed: argparse.Namespace) -> str | None:
    """Return the table of which rows are wanted; None where there are images."""
    from featx.images import is_table_name

    if len(parsed.paths) == 1 and is_table_name(parsed.paths[0]):
        return parsed.paths[0]
    for name in ("image", "root"):
        if getattr(parsed, name) is not None:
            raise ParameterError(f"Got --{name} without a table. Expected one table, a .csv for example.")
    return None


def _model_folder(folder: str) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        found = "a file" if path.exists() else "not there"
        raise InputError(f"{path.absolute()} is {found}. Expected the folder of a model.")
    return path


def _answer_files(ask: Callable[[list[str]], Sequence[Answer]], images: list[str]) -> list[Answer]:
    """Answer image files; those that cannot be used have the reason instead."""
    answered, reasons = apply_to_readable(ask, images)
    return _with_reasons(answered or (), reasons, len(images))


def answer_frame(ask: Callable[[Any], Sequence[Answer]], X: Any) -> list[Answer]:
    """Answer the rows of a frame, or of a Series of images; those whose image cannot be used have the reason."""
    from featx.exceptions import ImageReadError

    good, reasons = list(range(len(X))), dict[int, str]()
    answered: Sequence[Answer] = ()
    while good:
        try:
            answered = ask(X.iloc[good])
            break
        except ImageReadError as error:  # of some of them, where they are the rule
            bad = zip(error.table["position"], error.table["reason"], strict=True)
            reasons |= {good[i]: reason for i, reason in bad}
            good = [i for i in good if i not in reasons]
    return _with_reasons(answered, reasons, len(X))


def _with_reasons(answered: Sequence[Answer], reasons: Mapping[int, str], n: int) -> list[Answer]:
    """Put answers and reasons into the order of their rows."""
    answers = iter(answered)
    return [(reasons[i],) if i in reasons else (*next(answers), "") for i in range(n)]


def label_images(model: Any, images: Any) -> list[tuple[Any, ...]]:
    """Return label and probability of each image, of several outputs the labels alone.

    An image is embedded once if the model is a Pipeline.
    """
    import numpy as np
    from sklearn.pipeline import Pipeline

    from featx.deploy import plain

    X: Any = images
    if isinstance(model, Pipeline) and len(model) > 1:
        X, model = model[:-1].transform(images), model[-1]
    labels = model.predict(X)
    if np.ndim(labels) > 1:
        return [(label,) for label in plain(labels)]
    if not hasattr(model, "predict_proba"):
        return [(label, None) for label in plain(labels)]
    table = model.predict_proba(X)
    # Not the largest: a tuned threshold may choose another label.
    columns = np.searchsorted(model.classes_, labels)
    return list(zip(plain(labels), table[np.arange(len(labels)), columns].tolist(), strict=True))


def _embed_images(model: Any, images: Any) -> list[tuple[list[float | None]]]:
    import numpy as np

    from featx.deploy.batch import in_few_digits

    return [(row,) for row in in_few_digits(np.asarray(model.transform(images), np.float32))]
