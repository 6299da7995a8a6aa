#!/usr/bin/env bash
# datasets 5.2.0: in numpy's and torch's format, integers of which one is missing are float32: large ids collapse.
#
# Guess: int64, or float64 where one is missing, as pandas has it; and a column has the numbers that its rows have.
# Seen:  dataset.with_format("numpy")["id"][:] of [16777217, 16777219, None] is float32: 16777216, 16777220, NaN. A row
#        alone is int64 and right, and so is the column where nothing is missing. torch's format does the same; pandas'
#        and polars' are right.
# So:    joins and look-ups by such ids hit other rows; fill the gap, or ask for with_format("numpy", dtype=np.float64).
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 datasets==5.2.0
HF_HOME="$work/cache" "$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from datasets import Dataset

IDS = [16_777_217, 16_777_219, None]


def column(ids, *format, **options):
    return Dataset.from_dict({"id": ids}).with_format(*format, **options)["id"][:]


gap, whole = column(IDS, "numpy"), column(IDS[:2], "numpy")
row = Dataset.from_dict({"id": IDS}).with_format("numpy")[0]["id"]
asked = column(IDS, "numpy", dtype=np.float64)
by_pandas = column(IDS, "pandas")
print("numpy:", gap.dtype, gap.tolist())
print("numpy, nothing missing:", whole.dtype, whole.tolist())
print("numpy, one row:", row.dtype, row)
print("numpy, float64:", asked.tolist(), "pandas:", by_pandas.tolist())
assert gap.dtype == np.float32 and gap[:2].astype(int).tolist() == [16_777_216, 16_777_220], "it was another behaviour"
assert whole.tolist() == IDS[:2] and row == IDS[0], "it was another behaviour"
assert asked[:2].tolist() == by_pandas[:2].tolist() == IDS[:2], "it was another behaviour"
PY
