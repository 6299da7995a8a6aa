from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx import EmbeddingStore
from featx.store._index import _ARRAYS, FORMATS, Index, as_strings, checks_of, open_index
from featx.store._layout import DamagedFileError, NewerFormatError, read_layout
from featx.store._segment import Segment
from tests.store.content import padded, some_keys

DIM = 8


def sums_of(keys: np.ndarray) -> np.ndarray:
    """Sums of rows that are as different as their keys."""
    words = np.ascontiguousarray(keys).view(np.uint64)
    return words[:, 0] * np.uint64(0x9E3779B97F4A7C15) + words[:, 1]


def index_of(**segments) -> Index:
    index = Index()
    for name, keys in segments.items():
        index.add({name: (keys, sums_of(keys))})
    return index


@pytest.fixture(params=["in memory", "mapped"])
def keep(request, tmp_path):
    """An index as it is, or as it comes back from a file."""

    def written(index):
        index.write(tmp_path / "index", DIM)
        return open_index(tmp_path / "index")[0]

    return written if request.param == "mapped" else lambda index: index


def test_an_empty_index_finds_nothing(keep):
    index = keep(Index())
    assert index.find(some_keys(3)).tolist() == [-1, -1, -1]
    assert index.find(some_keys(0)).tolist() == []
    assert list(index.by_segment(np.empty(0, np.int64))) == []


def test_keys_are_found_in_the_segment_and_row_where_they_are(keep):
    keys = some_keys(10)
    index = keep(index_of(first=keys[:6], second=keys[6:]))
    asked = [8, 1, 5, 7, 0]
    found = {}
    for segment, targets, positions in index.by_segment(index.find(keys[asked])):
        found |= {int(i): (segment, int(row)) for i, row in zip(np.arange(5)[targets], positions, strict=True)}
    assert found == {0: ("second", 2), 1: ("first", 1), 2: ("first", 5), 3: ("second", 1), 4: ("first", 0)}


@pytest.mark.parametrize("equal", [0, 7, 8, 13])
def test_keys_that_begin_alike_are_told_apart(keep, equal):
    keys = np.unique(some_keys(3000), axis=0)
    keys[:, :equal] = 0
    keys = np.unique(keys, axis=0)
    index = keep(index_of(only=keys[::2]))
    expected = np.where(np.arange(len(keys)) % 2, -1, np.arange(len(keys)) // 2)
    order = np.random.default_rng(0).permutation(len(keys))
    assert index.find(keys[order]).tolist() == expected[order].tolist()


def test_rows_that_are_asked_for_in_order_are_read_as_one_slice(keep):
    keys = some_keys(4)
    index = keep(index_of(only=keys))
    ((_, targets, positions),) = index.by_segment(index.find(keys))
    assert targets == slice(0, 4)
    assert positions.tolist() == [0, 1, 2, 3]


def test_the_sum_of_a_row_is_bound_to_its_key(keep):
    keys = some_keys(300)
    index = keep(index_of(only=keys))
    at = index.find(keys)
    np.testing.assert_array_equal(index.sums_at(at, keys), sums_of(keys))
    assert not (index.sums_at(at, keys[::-1]) == sums_of(keys)).any()


def test_of_two_copies_the_first_is_found_and_after_its_loss_the_second(keep):
    keys = some_keys(2)
    index = keep(index_of(old=keys, new=keys))
    at = index.find(keys[:1])
    assert next(index.by_segment(at))[0] == "old"
    index.drop(at)
    at = index.find(keys[:1])
    assert next(index.by_segment(at))[0] == "new"
    index.drop(at)
    assert index.find(keys).tolist()[0] == -1
    assert index.find(keys).tolist()[1] >= 0


def test_nothing_is_found_in_a_segment_that_has_gone(keep):
    keys = some_keys(600)
    index = keep(index_of(old=keys[:400], new=keys[300:]))
    index.keep(["new"])
    assert (index.find(keys) >= 0).tolist() == [False] * 300 + [True] * 300
    assert {name for name, *_ in index.by_segment(index.find(keys[300:]))} == {"new"}
    assert index.names_there() == ["new"]


def test_two_indexes_become_one_of_what_is_there(keep):
    keys = some_keys(900)
    old, recent = index_of(gone=keys[:300], kept=keys[300:600]), index_of(new=keys[600:])
    old.keep(["kept"])
    whole = keep(old.merged_with(recent))
    assert whole.names == ["kept", "new"]
    at = whole.find(keys)
    assert (at >= 0).tolist() == [False] * 300 + [True] * 600
    rows = {name: positions.tolist() for name, _, positions in whole.by_segment(at[300:])}
    assert rows == {"kept": list(range(300)), "new": list(range(300))}
    assert (len(whole), whole.n_distinct) == (600, 600)


@given(
    segments=st.lists(st.lists(st.integers(0, 3000), unique=True, max_size=700), max_size=4),
    asked=st.lists(st.integers(0, 3000), max_size=50),
)
@settings(deadline=None, max_examples=40)
def test_a_mapped_index_finds_what_one_in_memory_does(tmp_path_factory, segments, asked):
    keys = np.sort(as_strings(some_keys(3001))).view(np.uint8).reshape(-1, 16)
    index = index_of(**{str(i): keys[numbers] for i, numbers in enumerate(segments)})
    path = tmp_path_factory.mktemp("index") / "index"
    index.write(path, DIM)
    mapped, dim = open_index(path)
    assert dim == DIM
    assert mapped.find(keys[asked]).tolist() == index.find(keys[asked]).tolist()
    assert (index.find(keys[asked]) >= 0).tolist() == [any(i in numbers for numbers in segments) for i in asked]


def test_a_flipped_byte_anywhere_is_an_error_or_leads_to_no_wrong_row(tmp_path):
    keys = np.concatenate([some_keys(300), padded([b"", b"a"])])
    path = tmp_path / "index"
    index_of(first=keys[:200], second=keys[200:]).write(path, DIM)
    data = path.read_bytes()
    right = {("first", i): keys[i] for i in range(200)} | {("second", i): keys[200 + i] for i in range(102)}
    sums = {place: sums_of(key[None])[0] for place, key in right.items()}
    noticed = 0
    for i in range(0, len(data), 5):
        path.write_bytes(data[:i] + bytes([data[i] ^ (1 + 37 * i % 255)]) + data[i + 1 :])
        try:
            index, _ = open_index(path)
            at = index.find(keys)
        except (DamagedFileError, NewerFormatError):
            noticed += 1
            continue
        hit = at >= 0
        expected = index.sums_at(at[hit], keys[hit])
        for name, targets, positions in index.by_segment(at[hit]):
            asked, sum_ = keys[hit][targets], expected[targets]
            for key, total, row in zip(asked, sum_, positions.tolist(), strict=True):
                # A row is taken only if it has the sum that the entry and the key give together.
                if sums.get((name, row)) == total:
                    np.testing.assert_array_equal(right[name, row], key)
    assert noticed > 0.4 * len(range(0, len(data), 5))


def test_an_index_cut_short_anywhere_is_damaged(tmp_path):
    path = tmp_path / "index"
    index_of(only=some_keys(300)).write(path, DIM)
    for length in reversed(range(0, path.stat().st_size, 3)):
        os.truncate(path, length)
        with pytest.raises(DamagedFileError):
            open_index(path)


def test_an_index_of_a_later_format_is_named_as_one(tmp_path):
    path = tmp_path / "index"
    index_of(only=some_keys(3)).write(path, DIM)
    path.write_bytes(path.read_bytes().replace(b'"format":"1"', b'"format":"7"'))
    with pytest.raises(NewerFormatError, match="format 7, which a later version"):
        open_index(path)


ARTIFACT = Path(__file__).parent.parent / "artifacts" / "index_v1"
ARTIFACT_PRINT = "fedcba9876543210" * 4


def make_artifact(folder: Path) -> None:
    """How ``tests/artifacts/index_v1`` was made, once, by featx 0.1.0: an index of one segment, and one beside it."""
    store = EmbeddingStore(folder)
    keys, rows = artifact_content()
    for i in (0, 300):
        store.put_many(ARTIFACT_PRINT, keys[i : i + 300], rows[i : i + 300], {"encoder": {"name": "artifact"}})
        if not i:
            store.compact()


def artifact_content() -> tuple[np.ndarray, np.ndarray]:
    # The numbers of RandomState are frozen by numpy, those of newer generators are not.
    rng = np.random.RandomState(20261129)
    keys = rng.randint(0, 256, (305, 16)).astype(np.uint8)
    return keys, rng.uniform(-4, 4, (305, 2)).astype(np.float32)


def test_index_version_1_still_finds_the_exact_numbers(tmp_path, monkeypatch):
    shutil.copytree(ARTIFACT, tmp_path / "store")
    keys, rows = artifact_content()
    read = []
    read_keys = Segment.read_keys
    monkeypatch.setattr(Segment, "read_keys", lambda segment: read.append(len(segment)) or read_keys(segment))
    store = EmbeddingStore(tmp_path / "store")
    found, got = store.get_many(ARTIFACT_PRINT, keys)
    assert found.all()
    assert got.tobytes() == rows.tobytes()
    assert read == [5]  # the keys of the large one are the index's
    assert store.verify()["error"].eq("").all()
    store.compact()
    assert EmbeddingStore(store.location).get_many(ARTIFACT_PRINT, keys)[1].tobytes() == rows.tobytes()


def test_an_index_is_written_today_as_version_1(tmp_path):
    make_artifact(tmp_path)
    (old,), (new,) = (list(folder.glob("*/index-*")) for folder in (ARTIFACT, tmp_path))
    layouts = []
    for path in (old, new):
        with open(path, "rb") as file:
            layout = read_layout(file, _ARRAYS, FORMATS)
            arrays = {name: layout.read(file, name).tobytes() for name in _ARRAYS}
        layouts.append((layout.metadata.keys(), layout.metadata["format"], layout.metadata["dim"], arrays))
    assert layouts[0] == layouts[1]


def test_checks_give_the_sums_back():
    keys = some_keys(50)
    sums = sums_of(keys)
    np.testing.assert_array_equal(checks_of(keys, checks_of(keys, sums)), sums)


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
