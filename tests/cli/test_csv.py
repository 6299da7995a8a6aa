from __future__ import annotations

import csv
import io
import os

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from featx.cli._csv import write_csv


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@given(st.lists(st.tuples(st.text(), st.text(), st.none() | st.floats(0, 1)), min_size=1, max_size=3))
def test_any_name_and_number_comes_back(rows):
    text = io.StringIO(newline="")
    write_csv(pd.DataFrame(rows, columns=["image", "label", "probability"], dtype=object), text)
    found = [(row["image"], row["label"], row["probability"]) for row in read(text.getvalue())]
    assert [row[:2] for row in found] == [row[:2] for row in rows]
    assert [float(row[2]) if row[2] else None for row in found] == [row[2] for row in rows]


def test_a_plain_table_has_no_quotes():
    text = io.StringIO()
    write_csv(pd.DataFrame({"image": ["a b.jpg"], "error": [""], "n": [np.float32(0.1)]}), text)
    assert text.getvalue() == "image,error,n\na b.jpg,,0.1\n"


def test_bytes_that_are_no_text_reach_the_file(tmp_path):
    table = pd.DataFrame({"image": pd.Series([os.fsdecode(b"caf\xe9\r.jpg")], dtype=object), "n": [1]})
    write_csv(table, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == b'"image","n"\n"caf\xe9\r.jpg",1\n'
