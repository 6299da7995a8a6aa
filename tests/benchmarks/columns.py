"""What a photo is worth beside a table, frozen and tuned to the target: `compare_columns` on two real tables.

python -m tests.benchmarks.columns foods --folder foods/ --cache cache/    # the packages that foods.py names
python -m tests.benchmarks.columns cells --cache cache/                    # elpv-dataset
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from elpv_dataset.utils import load_dataset
from sklearn.linear_model import Ridge

import featx
from tests.benchmarks.foods import COLUMNS, read_foods


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", choices=TABLES)
    parser.add_argument("--folder", type=Path, help="where the packages of foods are unpacked")
    parser.add_argument("--cache", required=True, help="folder of embeddings and fits")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--cv", type=int, default=3, help="folds of the cross-fitting (default: %(default)s)")
    arguments = parser.parse_args()
    for name in arguments.tables:
        table, given = TABLES[name](arguments)
        encoder = featx.ImageEncoder(preprocess="squash", cache=arguments.cache, verbose=0)
        aware = featx.TargetAwareEncoder(encoder, cv=arguments.cv, max_epochs=arguments.epochs, verbose=0)
        print(
            f"{name}: {len(table)} rows\n", featx.compare_columns(table, **given, encoder=encoder, target_aware=aware)
        )


def foods(arguments: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Energy of foods, by genus."""
    found = read_foods(arguments.folder)
    y, groups = found["enerc"].to_numpy(float), found["genus"].to_numpy()
    given = {"y": y, "groups": groups, "estimator": Ridge(), "target": "log", "task": "regression"}
    return found[["photo", *COLUMNS]], {**given, "image": "photo"}


def cells(_arguments: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Whether a solar cell is rather defective than not."""
    photos, likely, kinds = load_dataset()
    table = pd.DataFrame({"photo": list(photos), "kind": kinds.astype(str)})
    return table, {"y": likely > 0.5, "image": "photo"}


TABLES = {"foods": foods, "cells": cells}

if __name__ == "__main__":
    main()
