"""Answers are written and read back as they were, whatever names and labels hold, and wherever a file is cut."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from featx.deploy.batch._output import csv_lines, json_lines, read_csv, read_json

# Names of files may hold bytes that are no UTF-8.
NAMES = st.text() | st.binary().map(lambda name: name.decode("utf-8", "surrogateescape"))
ROWS = st.lists(st.tuples(NAMES, NAMES, st.none() | st.floats(0, 1), NAMES), max_size=4)


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@given(ROWS)
def test_rows_of_csv_come_back_by_every_reader(rows):
    text = csv_lines(rows)
    expected = [["" if value is None else str(value) for value in row] for row in rows]
    assert list(csv.reader(io.StringIO(text, newline=""))) == expected
    data = as_bytes(text)
    found = list(read_csv(io.BytesIO(data)))
    assert [row for row, _ in found] == expected
    assert not rows or found[-1][1] == len(data)


@given(ROWS)
def test_rows_of_json_keep_their_types(rows):
    data = json_lines(rows).encode()
    found = list(read_json(io.BytesIO(data)))
    assert [tuple(row) for row, _ in found] == rows
    assert not rows or found[-1][1] == len(data)


@given(ROWS, st.data())
def test_of_a_file_that_is_cut_anywhere_the_rows_before_the_cut_are_read(rows, data):
    for content, read in ((as_bytes(csv_lines(rows)), read_csv), (json_lines(rows).encode(), read_json)):
        whole = list(read(io.BytesIO(content)))
        cut = data.draw(st.integers(0, len(content)))
        assert list(read(io.BytesIO(content[:cut]))) == [row for row in whole if row[1] <= cut]


def test_what_a_disk_left_of_zeros_is_no_row():
    assert list(read_json(io.BytesIO(b'["a", 1]\n\0\0\0\n["b", 2]\n'))) == [(["a", 1], 9)]
