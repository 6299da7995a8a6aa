from __future__ import annotations

import numpy as np
import pytest

import featx
from featx.exceptions import StoreError, StoreWarning
from featx.store._layout import NewerFormatError
from featx.store._record import DamagedRecordError, read_record, record_name, write_record

KEY = "c" * 64
ARRAYS = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 4))}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / record_name("network")
    write_record(file, ARRAYS, {"dim": 3, "version": None})
    return file


def test_a_record_comes_back_as_it_was(file):
    arrays, description = read_record(file)
    assert description == {"dim": 3, "version": None}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_damage_anywhere_is_noticed(file):
    content = file.read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 4
        file.write_bytes(changed)
        try:
            arrays, description = read_record(file)
        except (DamagedRecordError, NewerFormatError):
            continue
        # Such as a space in the header: nothing that was written is another.
        assert description == {"dim": 3, "version": None}
        assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())


@pytest.mark.parametrize("n", [0, 5, 100])
def test_a_file_that_is_cut_short_is_noticed(file, n):
    file.write_bytes(file.read_bytes()[:n])
    with pytest.raises(DamagedRecordError, match="it is no record"):
        read_record(file)


def test_a_store_keeps_records_beside_rows(store):
    assert store.get_record(KEY, "network") is None
    store.put_record(KEY, "network", ARRAYS, {"dim": 3}, {"name": "tuned"})
    arrays, description = store.get_record(KEY, "network")
    assert description == {"dim": 3}
    np.testing.assert_array_equal(arrays["weights"], ARRAYS["weights"])
    (line,) = store.info().to_dict("records")
    assert (line["encoder"], line["fingerprint"], line["rows"]) == ("tuned", KEY, 0)
    assert store.verify()["error"].tolist() == [""]
    assert store.clear("tuned") > 0
    assert store.get_record(KEY, "network") is None
    assert not list(store.location.iterdir())


def test_a_damaged_record_is_moved_aside(store):
    store.put_record(KEY, "network", ARRAYS, {}, {"name": "tuned"})
    (file,) = store.location.glob("*/record-network.safetensors")
    file.write_bytes(b"nothing")
    assert store.verify()["error"].tolist() != [""]
    with pytest.warns(StoreWarning, match="is damaged: it is no record"):
        assert store.get_record(KEY, "network") is None
    assert store.get_record(KEY, "network") is None  # without another warning
    assert store.clear() > 0
    assert not list(store.location.iterdir())


def test_a_location_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    store = featx.EmbeddingStore(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be written"):
        store.put_record(KEY, "network", ARRAYS, {}, {"name": "tuned"})
