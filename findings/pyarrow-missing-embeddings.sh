#!/usr/bin/env bash
# pyarrow 25.0.1 writes embeddings of which one is missing to Parquet, and cannot read the file; nor can pandas or datasets.
#
# Guess: a column of fixed-size lists comes back as it was written, with its missing lists.
# Seen:  ArrowInvalid, "Expected all lists to be of size=2 but index 2 had size=0", from pyarrow, whoever wrote the file,
#        and so from pandas and datasets. polars 2.1.0 and DuckDB 2.0.1 read the same file right. Without a missing list, or
#        with a list of variable size, all of them read it.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 pyarrow==25.0.1 \
  polars==2.1.0 duckdb==2.0.1
"$work/venv/bin/python" -W ignore - "$work" <<'PY'
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

FIXED, VARIABLE = pa.list_(pa.float32(), 2), pa.list_(pa.float32())
READERS = {
    "pyarrow": lambda path: pq.read_table(path)["embedding"].to_pylist(),
    "pandas": lambda path: [None if row is None else row.tolist() for row in pd.read_parquet(path)["embedding"]],
    "polars": lambda path: pl.read_parquet(path)["embedding"].to_list(),
    "DuckDB": lambda path: [None if row is None else list(row) for (row,) in duckdb.sql(f"from '{path}'").fetchall()],
}


def read(rows, kind, *, by_polars=False):
    table, path = pa.table({"embedding": pa.array(rows, kind)}), f"{sys.argv[1]}/embeddings.parquet"
    if by_polars:
        pl.from_arrow(table).write_parquet(path)
    else:
        pq.write_table(table, path)
    found = {}
    for name, reader in READERS.items():
        try:
            found[name] = reader(path) == rows
        except pa.ArrowInvalid as error:
            found[name] = str(error)
    print(rows, "by polars" if by_polars else "by pyarrow", kind, found)
    return found


one_missing = [[1.0, 2.0], None, [3.0, 4.0]]
assert all(answer is True for answer in read([[1.0, 2.0], [3.0, 4.0]], FIXED).values()), "it was another behaviour"
assert all(answer is True for answer in read(one_missing, VARIABLE).values()), "it was another behaviour"
for by_polars in (False, True):
    found = read(one_missing, FIXED, by_polars=by_polars)
    assert "had size=0" in str(found["pyarrow"]) and "had size=0" in str(found["pandas"]), "it was another behaviour"
    assert found["polars"] is found["DuckDB"] is True, "it was another behaviour"
PY
