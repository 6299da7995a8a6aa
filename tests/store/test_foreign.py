"""What is not the store's, or not as it wrote it: of a later version, moved, linked, or of another kind."""

from __future__ import annotations

import os
import shutil
import socket
import warnings

import numpy as np
import pytest

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import StoreError, StoreWarning
from tests.store.content import META, OTHER, PRINT, some_keys, some_rows

N = 6
ARRAYS = {"weights": np.arange(3.0)}


@pytest.fixture
def content(store) -> tuple[np.ndarray, np.ndarray]:
    """An index of one segment, two segments beside it, and a record."""
    keys, rows = some_keys(N), some_rows(N)
    store.put_many(PRINT, keys[:1], rows[:1], META)
    store.put_many(PRINT, keys[1:2], rows[1:2], META)
    store.compact()
    for i in range(2, N, 2):
        store.put_many(PRINT, keys[i : i + 2], rows[i : i + 2], META)
    store.put_record(PRINT, "network", ARRAYS, {}, META["encoder"])
    return keys, rows


@pytest.fixture
def folder(store, content):
    return store.location / PRINT[:32]


def opened(store) -> featx.EmbeddingStore:
    """As a process that starts now sees it."""
    return featx.EmbeddingStore(store.location)


def found(store, keys: np.ndarray, rows: np.ndarray) -> list[int]:
    there, got = opened(store).get_many(PRINT, keys)
    np.testing.assert_array_equal(got, rows[there])
    return np.flatnonzero(there).tolist()


PATTERNS = {"segment": "[0-9a-f]*.safetensors", "index": "index-*", "record": "record-*"}


def of_a_later_version(folder, kind: str):
    path = max(folder.glob(PATTERNS[kind]))
    text = path.read_bytes()
    later = text.replace(b'"format":"1"', b'"format":"7"')
    assert later != text
    path.write_bytes(later)
    return path


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.filterwarnings("ignore:.*format 7, which a later version of featx wrote:featx.exceptions.StoreWarning")
def test_a_file_of_a_later_version_stays_whatever_is_done(store, content, folder, kind):
    path = of_a_later_version(folder, kind)
    before = path.read_bytes()
    for _ in range(2):
        for do in (
            lambda: opened(store).verify(repair=True),
            lambda: opened(store).compact(),
            lambda: opened(store).get_many(PRINT, content[0]),
            lambda: opened(store).put_many(PRINT, some_keys(1, 9), some_rows(1), META),
            lambda: opened(store).get_record(PRINT, "network"),
            lambda: opened(store).put_record(PRINT, "network", ARRAYS, {}, META["encoder"]),
            lambda: opened(store).prune(unused_for=3600),
        ):
            do()
            assert path.read_bytes() == before
        with (one := opened(store)).lock(PRINT):
            one.get_many(PRINT, content[0])
        assert path.read_bytes() == before
    assert found(store, *content) == list(range(N if kind != "segment" else N - 2))


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_file_of_a_later_version_is_named_and_never_called_repaired(store, folder, kind):
    path = of_a_later_version(folder, kind)
    read = opened(store)
    with pytest.warns(StoreWarning, match=f"{path.name} is not used: it is of format 7.*upgrade featx"):
        read.get_record(PRINT, "network") if kind == "record" else read.get_many(PRINT, some_keys(N))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        table = read.verify(repair=True).set_index("segment")
    assert "it is of format 7, which a later version of featx wrote" in table["error"][path.name]
    assert not table["repaired"].any()


@pytest.mark.parametrize("delete", [lambda store: store.clear(), lambda store: store.prune(max_bytes=0)])
@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.filterwarnings("ignore:.*format 7:featx.exceptions.StoreWarning")
def test_a_file_of_a_later_version_may_be_deleted(store, folder, kind, delete):
    of_a_later_version(folder, kind)
    delete(opened(store))
    assert os.listdir(store.location) == []


def test_a_folder_whose_card_is_lost_is_used_with_a_warning_until_the_next_row(store, content, folder):
    (folder / "encoder.json").unlink()
    with pytest.warns(StoreWarning, match="is missing or damaged. It is written again with the next row"):
        assert found(store, *content) == list(range(N))
    assert "it is missing or damaged" in store.verify()["error"].iloc[0]
    opened(store).put_many(PRINT, some_keys(1, 9), some_rows(1), META)
    assert found(store, *content) == list(range(N))
    assert store.info()["encoder"].tolist() == ["example"]


@pytest.fixture
def copied(store, content):
    """The rows of one encoder under the name of another."""
    shutil.copytree(store.location / PRINT[:32], store.location / OTHER[:32])
    return store.location / OTHER[:32]


def test_a_folder_that_was_copied_to_another_encoders_name_is_refused(store, content, copied):
    message = "encoder.json does not belong there: it is of the fingerprint a1a1a1a1.*move the folder away"
    for refused in (
        lambda: opened(store).get_many(OTHER, content[0]),
        lambda: opened(store).put_many(OTHER, some_keys(1), some_rows(1), META),
        lambda: opened(store).get_record(OTHER, "network"),
        lambda: opened(store).put_record(OTHER, "network", ARRAYS, {}, META["encoder"]),
    ):
        with pytest.raises(StoreError, match=message):
            refused()
    table = store.verify(repair=True)
    assert table[table["error"] != ""][["fingerprint", "segment", "repaired"]].to_numpy().tolist() == [
        [OTHER[:32], "encoder.json", False]
    ]
    assert found(store, *content) == list(range(N))


def test_an_encoder_whose_folder_is_anothers_encodes_and_warns(tiny, crops, store):
    encoder = featx.ImageEncoder(tiny, cache=store, verbose=0)
    right = encoder.transform(crops)
    flipped = featx.ImageEncoder(tiny, cache=store, verbose=0, preprocess=featx.Preprocess(size=32, fit="pad"))
    (name,), (other,) = ([spec.fingerprint()[:32] for spec in extraction_of(one).specs] for one in (encoder, flipped))
    shutil.copytree(store.location / name, store.location / other)
    expected = featx.ImageEncoder(tiny, cache=False, verbose=0, preprocess=flipped.preprocess).transform(crops)
    assert not np.array_equal(expected, right)
    with pytest.warns(StoreWarning, match="could not be read; embeddings are not kept.*does not belong there"):
        np.testing.assert_array_equal(flipped.transform(crops), expected)
    np.testing.assert_array_equal(encoder.transform(crops), right)


links = pytest.mark.skipif(os.name == "nt", reason="symbolic links")


@links
@pytest.mark.parametrize("kind", PATTERNS)
def test_a_link_to_a_file_is_not_followed(store, content, folder, tmp_path, kind):
    path = max(folder.glob(PATTERNS[kind]))
    outside = path.rename(tmp_path / path.name)
    path.symlink_to(outside)
    before = (outside.read_bytes(), outside.stat().st_mtime_ns)
    assert found(store, *content) == list(range(N if kind != "segment" else N - 2))
    assert (opened(store).get_record(PRINT, "network") is None) == (kind == "record")
    opened(store).verify(repair=True)
    opened(store).compact()
    with opened(store).lock(PRINT):
        pass
    opened(store).clear()
    assert (outside.read_bytes(), outside.stat().st_mtime_ns) == before
    assert path.is_symlink()


@links
def test_a_link_to_a_card_is_not_followed_and_gives_way_to_a_card(store, content, folder, tmp_path):
    card = folder / "encoder.json"
    outside = card.rename(tmp_path / "card.json")
    outside.write_text("mine")
    card.symlink_to(outside)
    with pytest.warns(StoreWarning, match="is missing or damaged"):
        assert found(store, *content) == list(range(N))
    opened(store).put_many(PRINT, some_keys(1, 9), some_rows(1), META)
    assert outside.read_text() == "mine"
    assert not card.is_symlink()
    assert found(store, *content) == list(range(N))


@links
def test_a_link_in_place_of_a_lock_is_not_followed(store, content, folder, tmp_path):
    outside = tmp_path / "mine"
    outside.write_text("mine")
    (folder / "turn.lock").unlink(missing_ok=True)
    (folder / "turn.lock").symlink_to(outside)
    with opened(store).lock(PRINT):
        assert found(store, *content) == list(range(N))
    opened(store).compact()
    assert outside.read_text() == "mine"
    assert found(store, *content) == list(range(N))


@links
def test_an_encoder_whose_folder_is_a_link_encodes_and_warns(tiny, crops, store, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=store, verbose=0)
    right = encoder.transform(crops)
    (folder,) = store.location.iterdir()
    folder.symlink_to(folder.rename(tmp_path / "elsewhere"))
    with pytest.warns(StoreWarning, match="could not be read; embeddings are not kept.*is a symbolic link"):
        np.testing.assert_array_equal(featx.ImageEncoder(tiny, cache=opened(store), verbose=0).transform(crops), right)
    assert (len(store.info()), store.clear()) == (0, 0)


NAMES = {
    "segment": f"{0:016x}-{0:012x}.safetensors",
    "index": f"index-{'f' * 16}-{0:012x}.safetensors",
}


@pytest.mark.parametrize("text", [b"", b"a shopping list", b"{}", bytes(300)], ids=["empty", "text", "json", "zeros"])
@pytest.mark.parametrize("kind", NAMES)
def test_a_file_that_is_only_named_like_one_is_skipped_and_moved_aside(store, content, folder, kind, text):
    path = folder / NAMES[kind]
    path.write_bytes(text)
    with pytest.warns(StoreWarning, match=f"A damaged {kind} is skipped.*{path.name}: its header is damaged"):
        assert found(store, *content) == list(range(N))
    table = opened(store).verify(repair=True).set_index("segment")
    assert table["repaired"][table["repaired"]].index.tolist() == [path.name]
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").read_bytes() == text
    assert found(store, *content) == list(range(N))


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    old = os.getcwd()
    os.chdir(path.parent)  # a socket's path may not be long
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(old)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes")
@pytest.mark.parametrize("make", [os.mkdir, make_pipe, make_socket], ids=["folder", "pipe", "socket"])
@pytest.mark.parametrize("name", [*NAMES.values(), "turn.lock"])
def test_what_is_no_file_is_neither_read_nor_removed(store, content, folder, make, name):
    path = folder / name
    path.unlink(missing_ok=True)
    make(path)
    assert found(store, *content) == list(range(N))
    with (one := opened(store)).lock(PRINT):
        one.put_many(PRINT, some_keys(1, 9), some_rows(1), META)
    assert opened(store).verify(repair=True)["error"].eq("").all()
    opened(store).compact()
    assert found(store, *content) == list(range(N))
    opened(store).clear()
    assert os.listdir(folder) == [name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes")
@pytest.mark.parametrize("make", [os.mkdir, make_pipe, make_socket], ids=["folder", "pipe", "socket"])
def test_a_card_and_a_record_that_are_no_files_stop_no_reader(store, content, folder, make):
    for name in ("encoder.json", "record-network.safetensors"):
        (folder / name).unlink()
        make(folder / name)
    with pytest.warns(StoreWarning, match="is missing or damaged"):
        assert found(store, *content) == list(range(N))
    assert opened(store).get_record(PRINT, "network") is None
    assert store.info()["encoder"].tolist() == [""]
    if make is os.mkdir:
        with pytest.raises(StoreError, match="cannot be written"):
            opened(store).put_many(PRINT, some_keys(1, 9), some_rows(1), META)
    else:
        opened(store).put_many(PRINT, some_keys(1, 9), some_rows(1), META)
        assert store.info()["encoder"].tolist() == ["example"]
