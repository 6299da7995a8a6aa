from __future__ import annotations

import json
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

import featx
from featx.exceptions import ParameterError, StoreError, StoreWarning
from featx.store._upkeep import TendedFolder
from tests.store.content import META, OTHER, PRINT, make_keys, make_rows


def test_info_describes_each_encoder(store):
    store.put_many(PRINT, make_keys([1, 2]), make_rows([1, 2]), META)
    store.put_many(PRINT, make_keys([2, 3]), make_rows([2, 3]), META)
    store.put_many(OTHER, make_keys([1]), make_rows([1]), {"encoder": {"name": "second"}})
    info = store.info()
    assert list(info.columns) == ["encoder", "fingerprint", "rows", "unique_rows", "segments", "bytes", "last_used"]
    assert info.iloc[:, :5].to_numpy().tolist() == [["example", PRINT, 4, 3, 2], ["second", OTHER, 1, 1, 1]]
    assert (info["bytes"] > 0).all()


def test_last_used_is_the_last_hit(store):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    card = store.location / PRINT[:32] / "encoder.json"
    os.utime(card, (0, 0))
    before = store.info()["last_used"][0]
    store.get_many(PRINT, make_keys([2]))
    assert store.info()["last_used"][0] == before
    store.get_many(PRINT, make_keys([1]))
    assert store.info()["last_used"][0] > before


def test_an_empty_store_has_nothing_to_say_and_makes_no_folder(store):
    assert (len(store.info()), len(store.verify()), store.clear()) == (0, 0, 0)
    store.get_many(PRINT, make_keys([1]))
    assert not store.location.exists()


def test_the_card_says_for_people_what_the_rows_are(store):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), {"encoder": {"name": "example", "layer": "feature"}})
    card = json.loads((store.location / PRINT[:32] / "encoder.json").read_text())
    assert card == {"name": "example", "layer": "feature", "fingerprint": PRINT}


def test_verify_counts_damaged_rows(store):
    store.put_many(PRINT, make_keys([1, 2]), make_rows([1, 2]), META)
    assert store.verify()[["rows", "damaged", "error"]].to_numpy().tolist() == [[2, 0, ""]]
    (path,) = store.location.glob("*/*.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    assert "cut short" in store.verify()["error"][0]


def test_clear_takes_one_encoder_or_all(store):
    for fingerprint, name in ((PRINT, "one"), (OTHER, "two")):
        store.put_many(fingerprint, make_keys([1]), make_rows([1]), {"encoder": {"name": name}})
    assert store.clear("one") > 0
    assert store.info()["encoder"].tolist() == ["two"]
    assert not store.get_many(PRINT, make_keys([1]))[0].any()
    store.clear(OTHER[:8])
    assert len(store.info()) == 0


def test_clear_touches_nothing_that_is_not_the_stores_own(store):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    (store.location / "holiday").mkdir()
    (store.location / "holiday" / "encoder.json").write_text("{}")
    (store.location / ("c" * 32)).mkdir()
    (store.location / "note.txt").write_text("mine")
    store.clear()
    assert sorted(path.name for path in store.location.iterdir()) == ["c" * 32, "holiday", "note.txt"]


def test_a_store_that_was_cleared_elsewhere_goes_on(store):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    store.get_many(PRINT, make_keys([1]))
    featx.EmbeddingStore(store.location).clear()
    assert not store.get_many(PRINT, make_keys([1]))[0].any()
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    assert store.get_many(PRINT, make_keys([1]))[0].all()


def test_it_pickles_as_its_location_and_is_shared_by_clones(store):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    store.get_many(PRINT, make_keys([1]))
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 500
    assert again.get_many(PRINT, make_keys([1]))[0].all()
    assert clone(store, safe=False) is store


def test_a_link_below_the_location_is_refused_and_one_at_it_is_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = featx.EmbeddingStore(tmp_path / "link")
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    (tmp_path / "real" / OTHER[:32]).symlink_to(tmp_path / "real" / PRINT[:32])
    with pytest.raises(StoreError, match="symbolic link"):
        store.put_many(OTHER, make_keys([1]), make_rows([1]), META)


def test_only_the_default_folder_of_a_user_is_private(tmp_path, monkeypatch):
    monkeypatch.delenv("FEATX_CACHE")
    default, shared = featx.EmbeddingStore(), featx.EmbeddingStore(tmp_path / "shared")
    os.umask(umask := os.umask(0))
    for store in (default, shared):
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    assert stat.S_IMODE(default.location.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared.location.stat().st_mode) == 0o777 & ~umask


def test_the_location_is_said_once_with_its_size(tmp_path, caplog):
    featx.EmbeddingStore(tmp_path).put_many(PRINT, make_keys([1]), make_rows([1]), META)
    caplog.set_level("INFO", "featx")
    store = featx.EmbeddingStore(tmp_path)
    store.get_many(PRINT, make_keys([1]))
    store.get_many(OTHER, make_keys([1]))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"cache={tmp_path} bytes=")


def test_a_folder_that_cannot_be_written_raises_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    store = featx.EmbeddingStore(tmp_path / "file" / "store")
    with pytest.raises(StoreError, match="cannot be written"):
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    with store.lock(PRINT):
        pass


@pytest.mark.parametrize(
    "location",
    [3, "s3://", "memory:///", "s3://bucket/photos*", "https://host/a", "nowhere://bucket", Path("s3://bucket/a")],
)
def test_a_location_that_is_no_folder_is_refused(location):
    with pytest.raises(ParameterError, match="Expected"):
        featx.EmbeddingStore(location)


def test_a_write_that_meets_a_clearing_is_done_once_more(store, monkeypatch):
    put = TendedFolder.put

    def cleared_meanwhile(folder, *arguments):
        monkeypatch.setattr(TendedFolder, "put", put)
        featx.EmbeddingStore(store.location).clear()
        return put(folder, *arguments)

    monkeypatch.setattr(TendedFolder, "put", cleared_meanwhile)
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    assert store.get_many(PRINT, make_keys([1]))[0].all()
    assert store.info()["encoder"].tolist() == ["example"]


def test_a_store_that_is_cleared_under_a_turn_harms_nobody(store):
    with store.lock(PRINT):
        store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
        store.clear()
    assert not store.get_many(PRINT, make_keys([1]))[0].any()


@pytest.mark.parametrize("fingerprint", ["../../home", "a1" * 15, "A1" * 32, "", "a1" * 16 + "/.."])
def test_a_fingerprint_that_is_no_digest_is_refused(store, fingerprint):
    with pytest.raises(ParameterError, match="Expected a hex digest"):
        store.put_many(fingerprint, make_keys([1]), make_rows([1]), META)
    assert not store.location.exists()


@pytest.mark.parametrize(
    ("keys", "rows", "expected"),
    [
        (make_keys([1])[:, :8], make_rows([1]), r"\(n, 16\) uint8"),
        (make_keys([1]).astype(float), make_rows([1]), r"\(n, 16\) uint8"),
        (make_keys([1]), make_rows([1, 2]), r"\(1, dim\) float32"),
        (make_keys([1]), make_rows([1])[:, :0], r"\(1, dim\) float32"),
        (make_keys([1]), make_rows([1])[0], r"\(1, dim\) float32"),
        (make_keys([1]), np.array([["a"]]), r"\(1, dim\) float32"),
    ],
)
def test_keys_and_rows_that_do_not_fit_are_refused(store, keys, rows, expected):
    with pytest.raises(ParameterError, match=expected):
        store.put_many(PRINT, keys, rows, META)


def test_rows_that_are_all_nan_write_nothing(store):
    store.put_many(PRINT, make_keys([1]), make_rows([np.nan]), META)
    assert not store.location.exists()


def test_an_empty_variable_means_the_users_own_folder(monkeypatch):
    monkeypatch.setenv("FEATX_CACHE", "")
    assert featx.EmbeddingStore().location.parts[-2:] == ("featx", "embeddings")
    monkeypatch.setenv("FEATX_CACHE", "here")
    assert featx.EmbeddingStore().location == Path.cwd() / "here"


def test_a_folder_that_cannot_be_listed_is_a_store_error(store, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    monkeypatch.setattr("featx.store._files.os.scandir", fail)
    with pytest.raises(StoreError, match=r"cannot be read: Input/output error"):
        store.get_many(PRINT, make_keys([1]))


def test_tidying_that_fails_is_a_warning_and_the_turn_ends(store, monkeypatch):
    def fail(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(TendedFolder, "tidy", fail)
    with pytest.warns(StoreWarning, match="could not be tidied"), store.lock(PRINT):
        pass
    monkeypatch.undo()
    with store.lock(PRINT):
        pass
