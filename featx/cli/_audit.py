"""``featx audit``: a folder of labelled images -> what is wrong with it."""

from __future__ import annotations

import argparse
import json

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
from featx.cli._files import check_target, read_examples, replacing, write_csv

_EXAMPLES = """
featx audit photos/
featx audit photos/ -o audit.html --csv audit.csv
featx audit photos/ --json
featx audit products.csv --image photo --target kind --group family
"""
_BAD = ("unreadable", "blank", "copies", "label_issues", "outliers")


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "audit",
        run,
        help="find unreadable images, duplicates, likely wrong labels and outliers",
        description="Look at every image of photos/<label>/...; nothing is changed or deleted. The exit status is 1 "
        "if anything is\nfound.",
        examples=_EXAMPLES,
    )
    add_ = command.add_argument
    add_folder(command)
    add_("-o", "--output", metavar="FILE", help="write a page that shows it: HTML, with the pictures inside")
    add_("--csv", metavar="FILE", help="write one row per image")
    add_("--cv", type=int, default=5, metavar="N", help="folds for judging labels; default: %(default)s")
    add_task(command)
    add_json(command)
    add_table(command)
    add_encoder(command)


def run(parsed: argparse.Namespace) -> int:
    for file in filter(None, (parsed.output, parsed.csv)):
        check_target(file)
    from featx._image_encoder import ImageEncoder
    from featx.auditing import audit

    examples = read_examples(parsed, regression=parsed.task == "regression")
    encoder = ImageEncoder(**encoder_parameters(parsed))
    audited = audit(
        examples.images, examples.labels, groups=examples.groups, task=parsed.task, encoder=encoder, cv=parsed.cv
    )
    if parsed.csv:
        with replacing(parsed.csv) as file:
            write_csv(audited.table, file)
    if parsed.output:
        note(f"Page: {audited.to_html(parsed.output)}")
    if parsed.json:
        rows = json.loads(audited.table.to_json(orient="records"))
        print_json({**audited.counts, "notes": audited.explanations, "rows": rows})
    else:
        print(audited)
    return int(any(audited.counts[name] for name in _BAD))
