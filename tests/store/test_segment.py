from __future__ import annotations

import itertools
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from featx import EmbeddingStore
from featx.store import _files
from featx.store._layout import DamagedFileError, NewerFormatError
from featx.store._segment import Segment, row_sums
from tests.store.content import make_keys, make_rows, publish_segment, some_keys, some_rows

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
ARTIFACT = ARTIFACTS / "segment_v1"
ARTIFACT_PRINT = "0123456789abcdef" * 4


def make_artifact(folder: Path) -> None:
    """How ``tests/artifacts/segment_v1`` was made, once, by featx 0.1.0."""
    keys, rows = artifact_content()
    meta = {"encoder": {"name": "artifact", "format": 1}, "runtime": "torch", "device": "cpu", "seconds": 0.25}
    EmbeddingStore(folder).put_many(ARTIFACT_PRINT, keys, rows, meta)


def make_artifact_v2(folder: Path) -> None:
    """How ``tests/artifacts/segment_v2`` was made, once, by featx 0.1.0: rows of float16."""
    keys, rows = artifact_content()
    meta = {"encoder": {"name": "artifact", "format": 1}, "runtime": "torch", "device": "cpu", "seconds": 0.25}
    EmbeddingStore(folder, dtype="float16").put_many(ARTIFACT_PRINT, keys, rows, meta)


def artifact_content() -> tuple[np.ndarray, np.ndarray]:
    # The numbers of RandomState are frozen by numpy, those of newer generators are not.
    rng = np.random.RandomState(20240601)
    keys = rng.randint(0, 256, (5, 16)).astype(np.uint8)
    return keys, rng.uniform(-4, 4, (5, 8)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return publish_segment(tmp_path, make_keys([1, 2, 3]), make_rows([1, 2, 3]), {"runtime": "torch", "seconds": 0.25})


def test_a_segment_gives_back_what_was_written(path):
    segment = Segment(path)
    keys, sums = segment.read_keys()
    np.testing.assert_array_equal(keys, make_keys([1, 2, 3]))
    rows, sound = segment.gather(np.array([2, 0, 2]), sums[[2, 0, 2]])
    np.testing.assert_array_equal(rows, make_rows([3, 1, 3]))
    assert sound.all()
    assert (segment.metadata["runtime"], segment.metadata["seconds"]) == ("torch", "0.25")


def test_any_reader_of_safetensors_can_read_it(path):
    tensors = load_file(path)
    assert {name: (value.dtype.str, value.shape) for name, value in tensors.items()} == {
        "keys": ("|u1", (3, 16)),
        "rows": ("<f4", (3, 5)),
        "sums": ("<u8", (3,)),
    }


def test_names_are_unique_and_in_order_of_writing(tmp_path):
    paths = [publish_segment(tmp_path, make_keys([i]), make_rows([i]), {}) for i in range(20)]
    assert sorted(paths) == paths
    assert len(set(paths)) == 20


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        publish_segment(tmp_path, make_keys([1]), make_rows([1]), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("n", "synced"), [(10, 0), (300, 1)])
def test_only_large_segments_wait_for_the_disk(tmp_path, monkeypatch, n, synced):
    calls = []
    monkeypatch.setattr(_files.os, "fsync", calls.append)
    publish_segment(tmp_path, np.zeros((n, 16), np.uint8), np.zeros((n, 1000), np.float32), {})
    assert len(calls) == synced


@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="pwrite")
def test_every_single_flipped_byte_is_noticed_or_harmless(tmp_path):
    keys, rows = some_keys(2), some_rows(2, dim=3)
    path = publish_segment(tmp_path, keys, rows, {"runtime": "torch"})
    data = path.read_bytes()
    flips = [1 << bit for bit in range(8)] + [255]
    with open(path, "r+b", buffering=0) as file:
        for i, flip in itertools.product(range(len(data)), flips):
            os.pwrite(file.fileno(), bytes([data[i] ^ flip]), i)
            with suppress(DamagedFileError, NewerFormatError):
                read, got, sound = Segment(path).read()
                assert read.tobytes() == keys.tobytes()
                assert got[sound].tobytes() == rows[sound].tobytes()
            os.pwrite(file.fileno(), data[i : i + 1], i)


def test_a_file_cut_short_anywhere_is_damaged(path):
    data = path.read_bytes()
    for length in reversed(range(len(data))):
        os.truncate(path, length)
        with pytest.raises(DamagedFileError):
            Segment(path)


def test_a_file_that_is_gone_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        Segment(tmp_path / "gone.safetensors")


@settings(deadline=None)
@given(st.integers(1, 9).flatmap(lambda dim: st.tuples(st.just(dim), st.integers(0, 4 * dim - 1))), st.integers(1, 255))
def test_a_change_of_any_byte_changes_the_sum(place, flip):
    dim, byte = place
    row = np.random.default_rng(dim).normal(size=(1, dim)).astype(np.float32)
    changed = row.copy()
    changed.view(np.uint8)[0, byte] ^= flip
    assert row_sums(changed) != row_sums(row)


def test_swapped_values_change_the_sum():
    row = np.arange(8, dtype=np.float32)[None]
    assert row_sums(row) != row_sums(row[:, [2, 3, 0, 1, 4, 5, 6, 7]])


def test_a_few_bytes_are_no_segment(tmp_path):
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(DamagedFileError, match="no header"):
        Segment(tmp_path / "short")
    assert os.listdir(tmp_path) == ["short"]


def test_format_version_1_still_loads_with_the_exact_numbers(tmp_path):
    shutil.copytree(ARTIFACT, tmp_path / "store")
    keys, rows = artifact_content()
    store = EmbeddingStore(tmp_path / "store")
    found, got = store.get_many(ARTIFACT_PRINT, keys)
    assert found.all()
    assert got.tobytes() == rows.tobytes()
    assert store.info()["encoder"].tolist() == ["artifact"]
    assert store.verify()["damaged"].tolist() == [0]


def test_what_is_written_today_is_still_format_version_1(tmp_path):
    make_artifact(tmp_path)
    (old,) = ARTIFACT.glob("*/*.safetensors")
    (new,) = tmp_path.glob("*/*.safetensors")
    assert Segment(new).metadata.keys() == Segment(old).metadata.keys()
    assert Segment(new).metadata["checksum"] == Segment(old).metadata["checksum"]
    assert Segment(new).read()[1].tobytes() == Segment(old).read()[1].tobytes()


def test_format_version_2_still_loads_with_the_exact_numbers(tmp_path):
    shutil.copytree(ARTIFACTS / "segment_v2", tmp_path / "store")
    keys, rows = artifact_content()
    store = EmbeddingStore(tmp_path / "store", dtype="float16")
    found, got = store.get_many(ARTIFACT_PRINT, keys)
    assert found.all()
    assert got.tobytes() == rows.astype(np.float16).astype(np.float32).tobytes()
    assert not EmbeddingStore(tmp_path / "store").get_many(ARTIFACT_PRINT, keys)[0].any()
    assert store.info()["encoder"].tolist() == ["artifact"]
    assert store.verify()["damaged"].tolist() == [0]


def test_rows_of_float16_are_written_today_as_format_version_2(tmp_path):
    make_artifact_v2(tmp_path)
    (old,) = (ARTIFACTS / "segment_v2").glob("*/*.safetensors")
    (new,) = tmp_path.glob("*/*.safetensors")
    assert new.parent.name == old.parent.name
    assert Segment(new).metadata.keys() == Segment(old).metadata.keys()
    assert Segment(new).metadata["format"] == Segment(old).metadata["format"] == "2"
    assert Segment(new).metadata["checksum"] == Segment(old).metadata["checksum"]
    assert Segment(new).read()[1].tobytes() == Segment(old).read()[1].tobytes()


def test_no_rows_may_be_gathered(path):
    rows, sound = Segment(path).gather(np.empty(0, np.int64), np.empty(0, np.uint64))
    assert (rows.shape, sound.shape) == ((0, 5), (0,))


@pytest.mark.parametrize("dim", [1, 2, 7, 1281])
def test_rows_of_any_length_are_kept(tmp_path, dim):
    _, rows, sound = Segment(publish_segment(tmp_path, some_keys(3), some_rows(3, dim), {})).read()
    assert sound.all()
    np.testing.assert_array_equal(rows, some_rows(3, dim))


def test_every_bit_of_a_row_is_covered_by_its_sum(path):
    data, segment = path.read_bytes(), Segment(path)
    for i in range(segment._layout.starts["rows"], segment._layout.starts["rows"] + 5 * 4):
        for bit in range(8):
            path.write_bytes(data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :])
            assert segment.read()[2].tolist() == [False, True, True]


def test_rows_that_are_cut_off_after_the_opening_are_not_vouched_for(path):
    segment = Segment(path)
    _, sums = segment.read_keys()
    os.truncate(path, segment._layout.starts["rows"] + 2 * segment.dim * 4)
    rows, sound = segment.gather(np.arange(3), sums)
    assert sound.tolist() == [True, True, False]
    np.testing.assert_array_equal(rows[:2], make_rows([1, 2]))


def test_a_segment_appears_whole_and_under_its_last_name_only(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace

    def spy(source, target):
        seen.append((os.listdir(tmp_path) == [source.name], Segment(source).read()[2].all()))
        assert _files.TEMPORARY_NAME.fullmatch(source.name)
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", spy)
    path = publish_segment(tmp_path, make_keys([1]), make_rows([1]), {})
    assert seen == [(True, True)]
    assert os.listdir(tmp_path) == [path.name]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish_segment(tmp_path, make_keys([1]), make_rows([1]), {})
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_who_may_read_a_segment_is_for_the_umask_to_say(tmp_path):
    old = os.umask(0o027)
    try:
        path = publish_segment(tmp_path, make_keys([1]), make_rows([1]), {})
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "change",
    [
        {"rows": {"dtype": "F32", "shape": [10**30, 5], "data_offsets": [0, 4]}},
        {"rows": {"dtype": "F32", "shape": [1e999, 5], "data_offsets": [0, 1e999]}},
        {"rows": {"dtype": "F32", "shape": [-3, -5], "data_offsets": [0, 60]}},
        {"rows": {"dtype": "F64", "shape": [3, 5], "data_offsets": [0, 120]}},
        {"rows": []},
        {"keys": None},
        {"__metadata__": []},
        {"__metadata__": {"format": "0"}},
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_damage(path, change):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]) | change).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    with pytest.raises(DamagedFileError, match="header is damaged"):
        Segment(path)


@pytest.mark.parametrize("data", [b"", b"\x80\x04N.", b"[" * 200_000, b"\xff" * 500], ids=["", "pickle", "[[", "noise"])
def test_a_file_of_another_kind_is_damage(path, data):
    path.write_bytes(len(data).to_bytes(8, "little") + data)
    with pytest.raises(DamagedFileError):
        Segment(path)
