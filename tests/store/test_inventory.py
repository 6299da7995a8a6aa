from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from featx.exceptions import StoreError, UnknownNameError
from featx.store import _inventory
from featx.store._files import LocalFiles
from tests.store.content import META, OTHER, PRINT, make_keys, make_rows


@pytest.fixture
def folder(store):
    """Of one encoder, with one segment."""
    store.put_many(PRINT, make_keys([1, 2]), make_rows([1, 2]), META)
    return store.location / PRINT[:32]


def test_clearing_keeps_other_peoples_files_in_a_folder_of_the_store(store, folder):
    kept = [".tmp-mine", "holiday.safetensors", "mine.txt", "photos"]
    for name in kept[:3]:
        (folder / name).write_text("mine")
    (folder / kept[3]).mkdir()
    store.clear()
    assert sorted(os.listdir(folder)) == kept
    assert len(store.info()) == 0


def test_clearing_takes_everything_that_the_store_wrote_and_says_how_much(store, folder):
    (segment,) = folder.glob("*.safetensors")
    segment.rename(f"{segment}.damaged")
    (folder / f".tmp-{0:032}").write_bytes(b"half")
    with store.lock(PRINT):
        pass
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert store.info()["bytes"].tolist() == [size]
    assert _inventory.total_bytes(store._place) == size
    assert store.clear() == size
    assert os.listdir(store.location) == []


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_clearing_follows_no_link(store, folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "encoder.json").write_text("{}")
    (store.location / ("d" * 32)).symlink_to(tmp_path / "elsewhere")
    (folder / f".tmp-{0:032}").symlink_to(tmp_path / "elsewhere" / "encoder.json")
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
    described = _inventory._describe(folder.name, store._place.files(folder.name))
    assert (described["rows"], described["bytes"], described["last_used"]) == (0, 0, None)


def test_unique_rows_count_a_key_once(store, folder):
    store.put_many(PRINT, make_keys([2, 0]), make_rows([2, 0]), META)
    assert store.info()[["rows", "unique_rows", "segments"]].to_numpy().tolist() == [[4, 3, 2]]
    assert np.isfinite(store.info()["bytes"]).all()


def test_rows_whose_card_was_lost_are_still_seen_and_cleared(store, folder):
    (folder / "encoder.json").unlink()
    assert store.info()[["encoder", "rows"]].to_numpy().tolist() == [["", 2]]
    assert store.clear(PRINT) > 0
    assert not folder.exists()


def test_a_clearing_that_stops_halfway_says_why_and_can_be_gone_on_with(store, folder, monkeypatch):
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path.suffix == ".safetensors":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match="cannot be cleared: Permission denied"):
        store.clear()
    monkeypatch.undo()
    assert store.info()["encoder"].tolist() == ["example"]
    assert store.clear("example") > 0


def test_a_segment_that_is_merged_while_the_store_is_verified_is_no_damage(store, folder, monkeypatch):
    monkeypatch.setattr(LocalFiles, "names", lambda _: ["encoder.json", f"{0:016x}-{0:012x}.safetensors"])
    assert len(store.verify()) == 0


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_hit_touches_no_file_behind_a_link(store, folder, tmp_path):
    outside = tmp_path / "outside.json"
    (folder / "encoder.json").replace(outside)
    (folder / "encoder.json").symlink_to(outside)
    os.utime(outside, (0, 0))
    assert store.get_many(PRINT, make_keys([1]))[0].all()
    assert outside.stat().st_mtime == 0
