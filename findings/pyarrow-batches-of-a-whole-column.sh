#!/usr/bin/env bash
# pyarrow 25.0.1: ParquetFile.iter_batches() of 16 images at a time holds all images of the row group, unless two options are
# given for reading and one was for writing.
#
# Guess: memory is that of some batches and pages, or pre_buffer=False makes it so.
# Seen:  of a row group of 256 MB the first batch alone takes more than 250 MB; with pre_buffer=False as well, with
#        buffer_size=1 << 20 as well. With both together it takes 12 MB, if the file was written with write_batch_size=16: a
#        page's size is looked at once in 1,024 values by default, so that all 1,024 images of 256 kB are one page, 1 MB as the
#        limit of a page notwithstanding, and the first batch takes more than 250 MB again.
# Works: pip in a temporary folder, 0.3 GB there, Linux; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pyarrow==25.0.1
"$work/venv/bin/python" - "$work/images.parquet" <<'PY'
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

path, n, size = sys.argv[1], 1024, 1 << 18
random = np.random.default_rng(0)
table = pa.table({"image": pa.array([random.bytes(size) for _ in range(n)], pa.binary())})


def write(**options):
    pq.write_table(table, path, row_group_size=n, compression="none", use_dictionary=False, **options)
    assert pq.ParquetFile(path).num_row_groups == 1


READ = """
import json, re, sys
import pyarrow.parquet as pq

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

file = pq.ParquetFile(sys.argv[1], **json.loads(sys.argv[2]))
before = peak()
next(file.iter_batches(batch_size=16))
first = peak() - before
for batch in file.iter_batches(batch_size=16):
    del batch
print(first, peak() - before)
"""


def memory(**options):
    command = [sys.executable, "-c", READ, path, json.dumps(options)]
    first, whole = map(float, subprocess.check_output(command, text=True).split())
    print(f"{options}: {first:.0f} MB for the first batch of 4 MB, {whole:.0f} MB for all of {n * size >> 20} MB")
    return first


both = {"pre_buffer": False, "buffer_size": 1 << 20}
write(write_batch_size=16)
for options in ({}, {"pre_buffer": False}, {"buffer_size": 1 << 20}):
    assert memory(**options) > 200, "it was another behaviour"
assert memory(**both) < 50, "it was another behaviour"
write()
print("with write_batch_size as it is by default")
assert memory(**both) > 200, "it was another behaviour"
PY
