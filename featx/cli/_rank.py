"""``featx rank``: a folder of labelled images -> which encoder, which layer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from featx.cli._command import (
    add_cache,
    add_command,
    add_folder,
    add_json,
    add_table,
    add_task,
    cache_parameter,
    note,
    print_json,
)
from featx.cli._files import LabelledImages, check_target, read_examples, replacing, write_csv

_COSTS = ["images_per_second", "bundle_mb", "frontier"]
_EXAMPLES = """
featx rank photos/
featx rank photos/ --encoders efficientnet_lite0,resnet18 --layers early,late,feature
featx rank photos/ --encoders efficientnet_lite0 --precisions float32,int8
featx rank photos/ --budget 10min --csv ranking.csv
featx rank products.csv --image photo --target price --group family
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "rank",
        run,
        help="try encoders and layers on a folder of labelled images",
        description="Embed photos/<label>/... (of splits, train) by each encoder and layer, cross-validate a head on "
        "each, and list them best first,\nwith their speed and the size of a bundle. Embeddings are kept: a "
        "second ranking encodes nothing.\nUnreadable images are left out.",
        examples=_EXAMPLES,
    )
    add_ = command.add_argument
    add_folder(command)
    add_("--encoders", default="installed", metavar="NAME,NAME", help="default: all whose weights are on this machine")
    add_(
        "--layers",
        metavar="NODE,NODE",
        help="feature, early, middle, late, last or nodes; default: the network's own feature",
    )
    add_("--pooling", default="avg", metavar="NAME,NAME", help="of layers: avg, max, gem, flatten; default: avg")
    add_(
        "--precisions",
        metavar="NAME,NAME",
        help="of each encoder: float32, tf32, bfloat16, float16, int8; default: float32",
    )
    add_("--scores", default="knn,logme,hscore,probe", metavar="NAME,NAME", help="default: %(default)s")
    add_("--cv", type=int, default=5, metavar="N", help="folds; default: %(default)s")
    add_("--budget", metavar="TIME", help="such as 10min: candidates that cannot win are dropped early")
    add_("--csv", metavar="FILE", help="write the whole table")
    add_task(command)
    add_json(command)
    add_table(command)
    add_cache(command)


def run(parsed: argparse.Namespace) -> None:
    if parsed.csv:
        check_target(parsed.csv)
    from featx.transfer import rank_encoders

    examples = _read(parsed)
    table = rank_encoders(
        examples.images,
        examples.labels,
        _encoders(parsed),
        layers=parsed.layers.split(",") if parsed.layers else None,
        pooling=parsed.pooling.split(","),
        precisions=parsed.precisions.split(",") if parsed.precisions else None,
        scores=parsed.scores.split(","),
        cv=parsed.cv,
        task=parsed.task,
        groups=examples.groups,
        budget=parsed.budget,
    )
    if parsed.csv:
        with replacing(Path(parsed.csv)) as file:
            write_csv(table, file)
    _print(parsed, table)


def _read(parsed: argparse.Namespace) -> LabelledImages:
    examples = read_examples(parsed, regression=parsed.task == "regression")
    if parsed.target is None and "split" in examples.frame and (train := examples.frame["split"] == "train").any():
        rows = train.to_numpy().nonzero()[0]
        return LabelledImages(
            [examples.images[i] for i in rows], examples.labels[rows], None, examples.frame.iloc[rows]
        )
    return examples


def _encoders(parsed: argparse.Namespace) -> list[Any]:
    """Return the encoders, with the cache that was chosen; they leave bad images out."""
    from featx._image_encoder import ImageEncoder
    from featx.encoders import list_encoders

    cache = cache_parameter(parsed)
    names = [(name, "default") for name in parsed.encoders.split(",")]
    if parsed.encoders == "installed":
        here = list_encoders().query("local")
        names = list(here[["name", "weights"]].itertuples(index=False))
    return [ImageEncoder(name, weights=weights, on_error="nan", **cache) for name, weights in names]


def _print(parsed: argparse.Namespace, table: Any) -> None:
    sentence, agreement = table.attrs["sentence"], table.attrs["agreement"]
    if parsed.json:
        records = json.loads(table.to_json(orient="records", double_precision=15))
        taus = {name: None if tau != tau else tau for name, tau in agreement.items()}
        print_json({"ranking": records, "sentence": sentence, "agreement": taus})
        return
    names = dict.fromkeys(["name", "probe", "probe_low", "probe_high", *parsed.scores.split(","), *_COSTS])
    shown = table[[name for name in names if name in table]]
    print(shown.to_string(index=False, float_format="{:.3f}".format))
    print(sentence)
    if known := [f"{name} {tau:+.2f}" for name, tau in agreement.items() if tau == tau]:
        note(f"Agreement with the probe (weighted Kendall tau): {', '.join(known)}")
