from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.store._folder import Index, as_strings
from featx.store._segment import Segment, write_segment
from tests.store.conformance import padded, some_keys, some_rows


def segment_of(folder, keys) -> Segment:
    return Segment(write_segment(folder, keys, some_rows(len(keys)), {}))


def test_an_empty_index_finds_nothing():
    assert Index().find(some_keys(3)).tolist() == [-1, -1, -1]
    assert list(Index().by_segment(np.empty(0, np.int64))) == []


def test_keys_are_found_in_the_segment_and_row_where_they_are(tmp_path):
    keys = some_keys(10)
    first, second = segment_of(tmp_path, keys[:6]), segment_of(tmp_path, keys[6:])
    index = Index()
    index.add([first])
    index.add([second])
    asked = [8, 1, 5, 7, 0]
    found = {}
    for segment, targets, positions in index.by_segment(index.find(keys[asked])):
        found |= {int(i): (segment, int(row)) for i, row in zip(np.arange(5)[targets], positions, strict=True)}
    assert found == {0: (second, 2), 1: (first, 1), 2: (first, 5), 3: (second, 1), 4: (first, 0)}


def test_rows_that_are_asked_for_in_order_are_read_as_one_slice(tmp_path):
    keys = some_keys(4)
    index = Index()
    index.add([segment_of(tmp_path, keys)])
    ((_, targets, positions),) = index.by_segment(index.find(keys))
    assert targets == slice(0, 4)
    assert positions.tolist() == [0, 1, 2, 3]


def test_of_two_copies_the_first_is_found_and_after_its_loss_the_second(tmp_path):
    keys = some_keys(2)
    old, new = segment_of(tmp_path, keys), segment_of(tmp_path, keys)
    index = Index()
    index.add([old, new])
    at = index.find(keys[:1])
    assert next(index.by_segment(at))[0] is old
    index.drop(at)
    at = index.find(keys[:1])
    assert next(index.by_segment(at))[0] is new
    index.drop(at)
    assert index.find(keys).tolist()[0] == -1
    assert index.find(keys).tolist()[1] >= 0


# Bytes that numpy's strings could mistake: trailing and inner zeros, the highest byte.
tricky = st.lists(st.sampled_from([0, 1, 255]), min_size=16, max_size=16).map(bytes)


@given(st.lists(tricky, min_size=1, max_size=30))
@settings(deadline=None, max_examples=40)
def test_keys_sort_and_compare_as_their_sixteen_bytes_do(parts):
    strings = as_strings(padded(parts))
    order = np.argsort(strings, kind="stable")
    assert [parts[i] for i in order] == sorted(parts)
    assert len(np.unique(strings)) == len(set(parts))
    for part in parts:
        assert (strings == as_strings(padded([part]))[0]).tolist() == [other == part for other in parts]
