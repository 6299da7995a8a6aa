"""``featx train``: a folder of labelled images -> scores and a model folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from featx._atomic import check_new_folder
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
from featx.cli._files import check_target, is_table, read_examples, refuse_table_options, replacing, write_csv
from featx.exceptions import ModelError, ParameterError

_EXAMPLES = """
featx train photos/ -o model/
featx train photos/ -o model/ --head svm --encoder resnet50 --cv 10
featx train photos/ -o model/ --json > scores.json
featx train products.csv -o model/ --image photo --target price --group family --root photos/ --log-target
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "train",
        run,
        help="train a model on a folder or a table of labelled images, and score it",
        description="Train a head on the embeddings of photos/<label>/..., score it by cross-validation, and write "
        "a model that was\nfitted on all images. Of photos/{train,val,test}/<label>/... the model is fitted and "
        "cross-validated on train,\nand scored on the others too. Of a table all columns are features, but the target "
        "and the group.\nUnreadable images are left out, and listed in a file.",
        examples=_EXAMPLES,
    )
    add_ = command.add_argument
    add_folder(command)
    add_("-o", "--output", required=True, metavar="MODEL", help="folder to write; an older model is replaced")
    add_(
        "--head",
        metavar="NAME",
        help="logistic, svm, probe, prototype, or ridge for numbers; of a table logistic, ridge, trees or lightgbm; "
        "default: logistic, for numbers ridge",
    )
    add_("--cv", type=int, default=5, metavar="N", help="folds; 0 skips cross-validation; default: %(default)s")
    add_("--bad-images", metavar="FILE", help="where unreadable images are listed; default: MODEL-bad_images.csv")
    add_("--audit", action="store_true", help="look for copies, likely wrong labels and outliers; a bundle says so")
    add_task(command, auto="that of --head, else classification; of a table that of its labels")
    add_json(command)
    add_table(command)
    add_("--log-target", action="store_true", help="predict the logarithm of the target, as of prices")
    add_encoder(command)


def run(parsed: argparse.Namespace) -> None:
    if parsed.cv < 0 or parsed.cv == 1:
        raise ParameterError(f"Got --cv {parsed.cv}. Expected 2 folds or more, or 0.")
    folder = Path(parsed.output)
    _check_model_folder(folder)
    bad_file = Path(parsed.bad_images or folder.with_name(f"{folder.name}-bad_images.csv"))
    check_target(bad_file)
    import featx

    trained = _train(parsed)
    for text in trained.notes:
        note(f"featx: warning: {text}")
    if len(trained.bad):
        with replacing(bad_file) as file:
            write_csv(trained.bad, file)
        note(f"featx: warning: unreadable images are left out: {len(trained.bad):,}, listed in {bad_file}")
    featx.save(trained.model, folder, scores=trained.scores)
    _print(parsed, trained, bad_file)
    note(f"Model: {folder}")


def _train(parsed: argparse.Namespace) -> Any:
    from featx.cli._training import train, train_table

    if is_table(parsed):
        table = read_examples(parsed, regression=parsed.task == "regression")
        return train_table(
            table,
            parsed.image,
            parsed.target,
            parsed.head,
            parsed.cv,
            encoder_parameters(parsed),
            group=parsed.group,
            task=parsed.task,
            log=parsed.log_target,
            audited=parsed.audit,
        )
    if parsed.log_target:
        raise ParameterError(f"Got --log-target with {parsed.folder}, a folder. Expected a table.")
    refuse_table_options(parsed)
    parsed.head = parsed.head or ("ridge" if parsed.task == "regression" else "logistic")
    return train(
        parsed.folder,
        parsed.head,
        parsed.cv,
        encoder_parameters(parsed),
        task=parsed.task,
        split=parsed.split,
        audited=parsed.audit,
    )


def _print(parsed: argparse.Namespace, trained: Any, bad_file: Path) -> None:
    from featx.cli._training import format_scores

    if not parsed.json:
        counted = f"{trained.rows:,} rows" if trained.rows else f"{sum(trained.labels.values()):,} images"
        print(f"{counted}, {len(trained.labels):,} labels" if trained.labels else counted)
        if len(trained.folds) or len(trained.splits):
            print(format_scores(trained.folds, trained.splits))
        return
    folds, means = trained.folds, trained.folds.drop(columns="images", errors="ignore")
    print_json(
        {
            "model": parsed.output,
            "encoder": parsed.encoder,
            "head": parsed.head,
            "labels": trained.labels,
            "folds": _records(folds, "records"),
            "mean": _records(means.mean(), "index"),
            "std": _records(means.std(ddof=0), "index"),
            "splits": _records(trained.splits, "index"),
            "bad_images": {"count": len(trained.bad), "file": str(bad_file) if len(trained.bad) else None},
        }
    )


def _records(scores: Any, orient: str) -> Any:
    """Convert for JSON; NaN becomes null."""
    return json.loads(scores.to_json(orient=orient, double_precision=15))


def _check_model_folder(folder: Path) -> None:
    """Refuse at once what `featx.save` would refuse after the training."""
    if folder.name in ("", ".."):
        raise ParameterError(f"Got {folder}. Expected the name of the folder to write.")
    check_new_folder(folder.absolute(), marker="model.json", error=ModelError)
