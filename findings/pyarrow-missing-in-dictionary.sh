#!/usr/bin/env bash
# pyarrow 25.0.1: a missing value in a dictionary column becomes the dictionary's last value in numpy, and in Ray Data 2.60.0.
#
# Guess: a missing value of a column comes as None, as that of a plain string column does, or as NaN.
# Seen:  numpy.asarray(table["kind"]) and table["kind"].to_numpy() give ["b", "b", "a"] for ["b", None, "a"] in dictionary
#        encoding (values "a", "b"), without an error: position -1, of a missing value, is the last one in numpy. The
#        one chunk by itself, to_pandas() and to_pylist() have the missing value. A categorical column of pandas comes back
#        from Parquet in this encoding. Ray Data's batches are made so too: map_batches(lambda batch: batch) fills the gaps.
# So:    a missing label is a label; decode such columns first (column.cast(column.type.value_type)).
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 pyarrow==25.0.1 "ray[data]==2.60.0"
"$work/venv/bin/python" -W ignore - "$work/kinds.parquet" <<'PY'
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet
import ray

kinds = ["b", None, "a"]
pd.DataFrame({"kind": pd.Categorical(kinds), "text": kinds}).to_parquet(sys.argv[1])
table = pyarrow.parquet.read_table(sys.argv[1])
column, text = table["kind"], table["text"]
found = {
    "asarray": np.asarray(column).tolist(),
    "to_numpy": column.to_numpy().tolist(),
    "asarray of its chunk": np.asarray(column.chunk(0)).tolist(),
    "to_pylist": column.to_pylist(),
    "decoded": np.asarray(column.cast(column.type.value_type)).tolist(),
    "plain text": np.asarray(text).tolist(),
}
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ray.data.DataContext.get_current().enable_progress_bars = False
dataset = ray.data.read_parquet(sys.argv[1])
found["Ray: rows"] = [row["kind"] for row in dataset.take_all()]
found["Ray: map_batches"] = [row["kind"] for row in dataset.map_batches(lambda batch: batch).take_all()]
ray.shutdown()
print(column.type)
for way, values in found.items():
    print(f"{way:20}", values)
assert pyarrow.types.is_dictionary(column.type), "it was another behaviour"
for way, values in found.items():
    wrong = way in ("asarray", "to_numpy", "Ray: map_batches")
    assert values == (["b", values[1], "a"] if wrong else kinds), "it was another behaviour"
    assert not wrong or values[1] in ("a", "b"), "it was another behaviour"
PY
