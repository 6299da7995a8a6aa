"""Embeddings for other programs: each reads them as (n, dim) float32."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import featx
from featx.exceptions import ParameterError, StoreError, StoreWarning, UnknownNameError
from featx.store import _export
from tests.store.content import META, OTHER, PRINT, some_keys, some_rows

N = 50
KEYS, ROWS = some_keys(N), some_rows(N)
DIGESTS = [key.tobytes().hex() for key in KEYS]


@pytest.fixture
def full(store) -> featx.EmbeddingStore:
    """Five segments of one encoder; some keys are in two of them."""
    for start in range(0, N, 10):
        store.put_many(PRINT, KEYS[start : start + 10], ROWS[start : start + 10], META)
    store.put_many(PRINT, KEYS[5:15], ROWS[5:15], META)
    return store


@pytest.fixture
def file(full, tmp_path) -> Path:
    assert full.export(tmp_path / "e.parquet", paths={DIGESTS[3]: "photos/cat.jpg"}) == N
    return tmp_path / "e.parquet"


def is_whole(embeddings: np.ndarray) -> bool:
    return embeddings.dtype == np.float32 and np.array_equal(embeddings, ROWS)


def flip(path: Path, what: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(what)] ^= 1
    path.write_bytes(data)


def test_pandas_reads_it(file):
    table = pd.read_parquet(file)
    assert table.columns.tolist() == ["digest", "path", "embedding"]
    assert table["digest"].tolist() == DIGESTS
    assert table["path"].dropna().to_dict() == {3: "photos/cat.jpg"}
    assert is_whole(np.stack(table["embedding"]))


def test_polars_reads_it(file):
    polars = pytest.importorskip("polars")
    table = polars.read_parquet(file)
    assert table["embedding"].dtype == polars.Array(polars.Float32, 8)
    assert is_whole(table["embedding"].to_numpy())
    assert table["path"].null_count() == N - 1


def test_duckdb_reads_it(file):
    duckdb = pytest.importorskip("duckdb")
    table = duckdb.sql(f"SELECT * FROM '{file}'").df()
    assert is_whole(np.stack(table["embedding"]))
    nearest = duckdb.sql(
        f"SELECT b.digest FROM '{file}' a, '{file}' b WHERE a.path = 'photos/cat.jpg' "
        "ORDER BY list_cosine_similarity(a.embedding, b.embedding) DESC LIMIT 1"
    )
    assert nearest.fetchall() == [(DIGESTS[3],)]


def test_pyarrow_reads_it(file):
    parquet = pytest.importorskip("pyarrow.parquet")
    column = parquet.read_table(file)["embedding"].combine_chunks()
    assert column.type.list_size == 8
    assert is_whole(column.values.to_numpy().reshape(len(column), -1))


def test_a_frame_has_the_digests_as_its_index_and_a_column_a_number(full):
    frame = full.to_frame(paths={DIGESTS[3]: "photos/cat.jpg"})
    assert frame.index.name == "digest"
    assert frame.index.tolist() == DIGESTS
    assert frame.columns.tolist() == ["path", *(f"image_{i}" for i in range(8))]
    assert frame["path"].dropna().to_dict() == {DIGESTS[3]: "photos/cat.jpg"}
    assert is_whole(frame.iloc[:, 1:].to_numpy())


def test_columns_are_named_as_the_encoder_names_them(tmp_path, files, tiny):
    encoder = featx.ImageEncoder(tiny, cache=tmp_path / "own", verbose=0)
    rows = encoder.fit(files).transform(files)
    frame = featx.EmbeddingStore(tmp_path / "own").to_frame(paths=featx.known_paths(files))
    assert frame.columns[1:].tolist() == encoder.get_feature_names_out().tolist()
    beside = frame.set_index("path").loc[files]
    np.testing.assert_array_equal(beside.to_numpy(), rows)


def test_texts_are_called_so(store):
    store.put_many(PRINT, KEYS, ROWS, {"encoder": {"name": "words", "content": "text"}})
    assert store.to_frame().columns[1] == "text_0"


def test_row_groups_are_small_and_only_one_is_in_memory(store, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    keys, rows = some_keys(4000), some_rows(4000, dim=256)
    for start in range(0, 4000, 500):
        store.put_many(PRINT, keys[start : start + 500], rows[start : start + 500], META)
    monkeypatch.setattr(_export, "_GROUP_BYTES", 100 * 4 * 256)
    store.export(tmp_path / "first.parquet")  # imports
    tracemalloc.start()
    store.export(tmp_path / "e.parquet")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes / 4
    opened = parquet.ParquetFile(tmp_path / "e.parquet")
    assert [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)] == [100] * 40
    np.testing.assert_array_equal(np.stack(opened.read().to_pandas()["embedding"]), rows)


def test_what_was_written_after_a_compaction_comes_after_it(full, tmp_path):
    full.compact()
    more, more_rows = some_keys(3, seed=1), some_rows(3, seed=1)
    full.put_many(PRINT, np.concatenate([more, KEYS[:2]]), np.concatenate([more_rows, ROWS[:2]]), META)
    frame = full.to_frame()
    assert frame.index.tolist() == DIGESTS + [key.tobytes().hex() for key in more]
    np.testing.assert_array_equal(frame.iloc[:, 1:].to_numpy(), np.concatenate([ROWS, more_rows]))


def test_a_damaged_row_is_left_out_with_a_warning(full, tmp_path):
    (damaged,) = (path for path in full.location.glob("*/*.safetensors") if ROWS[25].tobytes() in path.read_bytes())
    flip(damaged, ROWS[25].tobytes())
    with pytest.warns(StoreWarning) as warned:
        assert full.export(tmp_path / "e.parquet") == N - 1
    assert "1 of 50 embeddings are damaged or gone: they are left out" in str(warned[-1].message)
    assert pd.read_parquet(tmp_path / "e.parquet")["digest"].tolist() == DIGESTS[:25] + DIGESTS[26:]


def test_the_second_copy_of_a_damaged_row_stands_in_for_it(full, tmp_path):
    first, *_ = sorted(path for path in full.location.glob("*/*.safetensors") if ROWS[7].tobytes() in path.read_bytes())
    flip(first, ROWS[7].tobytes())
    with pytest.warns(StoreWarning, match="1 rows are not what was written"):
        assert full.export(tmp_path / "e.parquet") == N
    assert is_whole(np.stack(pd.read_parquet(tmp_path / "e.parquet")["embedding"]))


def test_an_index_that_is_damaged_is_done_without(full, tmp_path):
    full.compact()
    (index,) = full.location.glob("*/index-*")
    flip(index, KEYS[9].tobytes())
    with pytest.warns(StoreWarning, match="A damaged index is skipped"):
        assert full.export(tmp_path / "e.parquet") == N


def test_rows_of_float16_are_given_as_float32(tmp_path):
    store = featx.EmbeddingStore(tmp_path / "half", dtype="float16")
    store.put_many(PRINT, KEYS, ROWS, META)
    store.export(tmp_path / "e.parquet")
    embeddings = np.stack(pd.read_parquet(tmp_path / "e.parquet")["embedding"])
    assert embeddings.dtype == np.float32
    np.testing.assert_array_equal(embeddings, ROWS.astype(np.float16).astype(np.float32))


def test_merging_halfway_loses_nothing(full, tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "_GROUP_BYTES", 4 * 4 * 8)
    folder, _ = full._exported(None)
    batches = _export._batches(folder)
    parts = [next(batches)]
    featx.EmbeddingStore(full.location).compact()
    parts += batches
    np.testing.assert_array_equal(np.concatenate([keys for keys, _ in parts]), KEYS)
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in parts]), ROWS)


def test_an_export_is_no_use_that_saves_from_being_pruned(full, tmp_path):
    files = [path for path in full.location.glob("*/*") if path.suffix == ".safetensors"]
    for path in files:
        os.utime(path, (0, 0))
    full.export(tmp_path / "e.parquet")
    assert {path.stat().st_mtime for path in files} == {0}


@pytest.mark.parametrize("encoder", ["second", OTHER[:8], OTHER])
def test_one_of_several_encoders_is_chosen_by_name_or_by_fingerprint(full, encoder):
    full.put_many(OTHER, KEYS[:2], ROWS[:2] + 1, {"encoder": {"name": "second"}})
    np.testing.assert_array_equal(full.to_frame(encoder).iloc[:, 1:].to_numpy(), ROWS[:2] + 1)


def test_where_none_of_several_is_named_all_are_listed(full, tmp_path):
    full.put_many(OTHER, KEYS, ROWS, {"encoder": {"name": "second", "layer": "middle"}})
    with pytest.raises(ParameterError) as caught:
        full.export(tmp_path / "e.parquet")
    assert f"  {PRINT[:16]}  example" in str(caught.value)
    assert f"  {OTHER[:16]}  second, layer middle" in str(caught.value)
    assert not (tmp_path / "e.parquet").exists()


def test_a_name_of_several_fingerprints_is_not_enough(full):
    full.put_many(OTHER, KEYS, ROWS, META)
    with pytest.raises(ParameterError, match=r"encoder='example'[^$]*a1a1[^$]*b2b2"):
        full.to_frame("example")
    assert len(full.to_frame(PRINT[:8])) == N


def test_an_unknown_encoder_names_those_there_are(full):
    with pytest.raises(UnknownNameError, match="Did you mean 'example'"):
        full.to_frame("exampel")


def test_a_folder_without_rows_is_no_encoder_to_choose(full):
    full.put_record(OTHER, "fit", {"a": np.ones(2)}, {}, {"name": "tuned"})
    assert len(full.to_frame()) == N
    with pytest.raises(StoreError, match="holds no embeddings by tuned"):
        full.to_frame("tuned")


def test_an_empty_store_has_nothing_to_export(store, tmp_path):
    with pytest.raises(StoreError, match="holds no embeddings"):
        store.export(tmp_path / "e.parquet")


def test_rows_that_are_all_damaged_leave_no_file_behind(store, tmp_path):
    store.put_many(PRINT, KEYS[:1], ROWS[:1], META)
    (path,) = store.location.glob("*/*.safetensors")
    flip(path, ROWS[:1].tobytes())
    with pytest.warns(StoreWarning), pytest.raises(StoreError, match="no embeddings that are sound"):
        store.export(tmp_path / "e.parquet")
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize("key", ["photos/cat.jpg", DIGESTS[0].upper(), KEYS[0].tobytes()])
def test_a_mapping_of_other_keys_is_refused(full, key):
    with pytest.raises(ParameterError, match="Expected a mapping of digests"):
        full.to_frame(paths={key: "cat.jpg"})


def test_names_that_are_no_text_are_spelled_out(full, tmp_path):
    full.export(tmp_path / "e.parquet", paths={DIGESTS[0]: Path("a\udcff.jpg")})
    assert pd.read_parquet(tmp_path / "e.parquet")["path"][0] == "a\\xff.jpg"


def test_a_file_of_another_kind_is_refused(full, tmp_path):
    with pytest.raises(ParameterError, match=r"Expected the name of a file \.parquet"):
        full.export(tmp_path / "e.csv")


def test_a_folder_that_is_not_there_is_named(full, tmp_path):
    with pytest.raises(StoreError, match=r"nowhere.*cannot be written: No such file"):
        full.export(tmp_path / "nowhere" / "e.parquet")
