"""``featx report``: does transfer help on a folder of labelled images."""

from __future__ import annotations

import argparse
import json
import warnings
from typing import Any

from featx.cli._command import (
    add_command,
    add_encoder,
    add_folder,
    add_json,
    add_table,
    add_task,
    encoder_parameters,
    note,
    print_json,
)
from featx.cli._files import check_target, read_examples
from featx.exceptions import ImageWarning

_EXAMPLES = """
featx report photos/
featx report photos/ -o report.html --preprocess squash
featx report photos/ --encoder resnet50 --cv 10 --json > report.json
featx report products.csv --image photo --target color --group family
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "report",
        run,
        help="find out whether transfer helps, by how much, and how many labels it is worth",
        description="Compare a pretrained encoder with raw pixels, HOG, histograms of colours and the same network "
        "with random\nweights, on the images of photos/<label>/..., and say whether it helps. Unreadable images are "
        "left out.",
        examples=_EXAMPLES,
    )
    add_ = command.add_argument
    add_folder(command)
    add_("-o", "--output", metavar="FILE", help="write a page that shows it: HTML, with the pictures inside")
    add_(
        "--head",
        metavar="NAME",
        help="of all feature sets: logistic, svm, probe, prototype, or ridge for numbers; default: logistic or ridge",
    )
    add_("--cv", type=int, default=5, metavar="N", help="number of random folds, 3 or more; default: %(default)s")
    add_task(command, auto="that of --head, else classification")
    add_json(command)
    add_table(command)
    add_encoder(command)


def run(parsed: argparse.Namespace) -> None:
    if parsed.output:
        check_target(parsed.output)
    from featx._image_encoder import ImageEncoder
    from featx.compare import transfer_report

    examples = read_examples(parsed, regression=parsed.task == "regression" or parsed.head == "ridge")
    encoder = ImageEncoder(**encoder_parameters(parsed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # it is among the report's notes
        found = transfer_report(
            examples.images,
            examples.labels,
            groups=examples.groups,
            encoder=encoder,
            head=parsed.head,
            task=parsed.task,
            cv=parsed.cv,
        )
    if parsed.output:
        note(f"Page: {found.to_html(parsed.output)}")
    if parsed.json:
        print_json(_document(found))
    else:
        print(found)


def _document(found: Any) -> dict[str, Any]:
    """Convert for JSON; NaN becomes null."""
    summary = json.loads(found.summary.to_json(orient="index", double_precision=15))
    curves = json.loads(found.curves.to_json(orient="records", double_precision=15))
    return {
        "verdict": found.verdict,
        "decision": found.decision,
        "scoring": found.scoring,
        "summary": summary,
        "curves": curves,
        "notes": found.notes,
    }
