from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from featx.exceptions import UnknownNameError
from featx.store import _inventory
from tests.store.conformance import META, OTHER, PRINT, make_keys, make_rows


@pytest.fixture
def folder(store):
    """Of one encoder, with one segment."""
    store.put_many(PRINT, make_keys([1, 2]), make_rows([1, 2]), META)
    return store.location / PRINT[:32]


def test_clearing_keeps_other_peoples_files_in_a_folder_of_the_store(store, folder):
    kept = ["holiday.safetensors", "mine.txt", "photos"]
    for name in kept[:2]:
        (folder / name).write_text("mine")
    (folder / kept[2]).mkdir()
    store.clear()
    assert sorted(os.listdir(folder)) == kept
    assert len(store.info()) == 0


def test_clearing_takes_everything_that_the_store_wrote_and_says_how_much(store, folder):
    (segment,) = folder.glob("*.safetensors")
    segment.rename(f"{segment}.damaged")
    (folder / ".tmp-half").write_bytes(b"half")
    with store.turn(PRINT):
        pass
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert store.info()["bytes"].tolist() == [size]
    assert _inventory.total_bytes(store.location) == size
    assert store.clear() == size
    assert os.listdir(store.location) == []


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_clearing_follows_no_link(store, folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "encoder.json").write_text("{}")
    (store.location / ("d" * 32)).symlink_to(tmp_path / "elsewhere")
    (folder / ".tmp-link").symlink_to(tmp_path / "elsewhere" / "encoder.json")
    store.clear()
    assert (tmp_path / "elsewhere" / "encoder.json").exists()


@pytest.mark.parametrize("encoder", ["", PRINT[:7], "exampel"])
def test_clearing_an_unknown_encoder_names_those_there_are_and_deletes_nothing(store, folder, encoder):
    with pytest.raises(UnknownNameError, match="example"):
        store.clear(encoder)
    assert store.get_many(PRINT, make_keys([1]))[0].all()


@pytest.mark.parametrize("encoder", ["example", PRINT[:8], PRINT[:32], PRINT])
def test_an_encoder_is_cleared_by_name_or_by_fingerprint(store, folder, encoder):
    store.put_many(OTHER, make_keys([1]), make_rows([1]), {"encoder": {"name": "second"}})
    store.clear(encoder)
    assert store.info()["encoder"].tolist() == ["second"]


@pytest.mark.parametrize("text", ["", "[1]", '{"name": "exam', "\x00"], ids=["empty", "a list", "cut short", "zero"])
def test_a_damaged_card_costs_the_name_and_is_written_anew(store, folder, text):
    (folder / "encoder.json").write_text(text)
    assert store.info()[["encoder", "fingerprint", "rows"]].to_numpy().tolist() == [["", PRINT[:32], 2]]
    store.put_many(PRINT, make_keys([3]), make_rows([3]), META)
    assert store.info()["encoder"].tolist() == ["example"]


def test_info_and_verify_report_damage_and_leave_it_where_it_is(store, folder):
    (segment,) = folder.glob("*.safetensors")
    data = bytearray(segment.read_bytes())
    data[data.index(make_rows([2]).tobytes())] ^= 1
    segment.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.verify()[["rows", "damaged", "error"]].to_numpy().tolist() == [[2, 1, ""]]
        segment.write_bytes(data[:50])
        assert store.info()[["rows", "segments"]].to_numpy().tolist() == [[0, 0]]
        assert store.verify()["error"].str.contains("header is damaged").tolist() == [True]
    assert segment.exists()


def test_a_folder_that_is_cleared_while_it_is_described_is_described_as_empty(store, folder):
    store.clear()
    described = _inventory._describe(folder)
    assert (described["rows"], described["bytes"], described["last_used"]) == (0, 0, None)


def test_unique_rows_count_a_key_once(store, folder):
    store.put_many(PRINT, make_keys([2, 0]), make_rows([2, 0]), META)
    assert store.info()[["rows", "unique_rows", "segments"]].to_numpy().tolist() == [[4, 3, 2]]
    assert np.isfinite(store.info()["bytes"]).all()
