from __future__ import annotations

from pathlib import Path

import numpy as np

import featx
from featx.doctor._subject import check_subject, kind_of


def test_images_are_read(files, tmp_path):
    folder = Path(files[0]).parent
    assert check_subject(str(folder)).value == f"{folder}: 12 files, 0 of the first 12 unreadable"
    assert check_subject(files[0]).status == "ok"
    (folder / "00.jpg").write_bytes(b"garbage")
    finding = check_subject(str(folder))
    assert finding.status == "bad"
    assert "1 of the first 12 unreadable; not an image" in finding.value


def test_a_store_is_verified(store):
    keys = np.arange(80, dtype=np.uint8).reshape(5, 16)
    store.put_many("ab" * 32, keys, np.ones((5, 4), np.float32), {"encoder": {"name": "some"}})
    assert check_subject(str(store.location)).value == f"{store.location}: 5 embeddings, 0 of 1 files damaged"
    name = store.verify()["segment"][0]
    segment = store.location / ("ab" * 16) / name
    segment.write_bytes(segment.read_bytes()[:-7])
    finding = check_subject(str(store.location))
    assert (finding.status, finding.what) == ("bad", "store")
    assert "1 of 1 files damaged" in finding.value


def test_a_folder_is_known_by_its_files(tmp_path):
    assert kind_of(tmp_path) == "images"
    for kind in ("model", "bundle"):
        (tmp_path / f"{kind}.json").touch()
        assert kind_of(tmp_path) == kind


def test_a_model_is_loaded_which_compares_its_digests(files, tmp_path):
    model = featx.image_pipeline(encoder="squeezenet1_1", weights="random").fit(files, [0, 1] * 6)
    featx.save(model, tmp_path / "model")
    assert check_subject(str(tmp_path / "model")).status == "ok"
    with open(tmp_path / "model" / "model.skops", "ab") as file:
        file.write(b"x")
    finding = check_subject(str(tmp_path / "model"))
    assert (finding.status, finding.what) == ("bad", "model")
    assert "model.skops" in finding.value


def test_a_path_that_is_not_there_is_bad():
    assert str(check_subject("nowhere")).startswith("bad   path: nowhere is not there")
    assert not featx.EmbeddingStore("nowhere").location.exists()
