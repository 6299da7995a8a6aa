from __future__ import annotations

import os
import sqlite3
import time

import pytest

from featx.images._memo import DigestMemo, FileState, pack_stat

DIGEST = b"0123456789abcdef"


@pytest.fixture
def memo(tmp_path) -> DigestMemo:
    return DigestMemo(tmp_path / "deep" / "memo.sqlite")


def old_file(path, content=b"content") -> str:
    """A file whose content settled long ago, as far as its clock says."""
    path.write_bytes(content)
    return str(path)


def long_ago(path: str) -> os.stat_result:
    """The file's stat, were it written an hour before now."""
    status = os.stat(path)

    class Old:
        st_size, st_ino, st_dev, st_mode = status.st_size, status.st_ino, status.st_dev, status.st_mode
        st_mtime_ns = st_ctime_ns = status.st_mtime_ns - 3600 * 10**9

    return Old()


def test_what_was_recorded_is_known_with_its_stat(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    assert DigestMemo(memo.file).lookup([path, "other"]) == {path: (pack_stat(long_ago(path)), DIGEST)}


def test_a_file_younger_than_two_seconds_is_not_trusted(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    memo.record([(path, FileState.of(os.stat(path)), DIGEST)])
    assert memo.lookup([path]) == {}


def test_an_old_mtime_on_a_file_that_was_just_put_there_is_not_trusted(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    os.utime(path, (0, 0))  # as cp -p does; the ctime is now
    memo.record([(path, FileState.of(os.stat(path)), DIGEST)])
    assert memo.lookup([path]) == {}


def test_every_change_of_a_file_changes_its_packed_stat(tmp_path):
    path = old_file(tmp_path / "a.jpg")
    before = pack_stat(os.stat(path))
    assert pack_stat(os.stat(path)) == before
    status = os.stat(path)
    time.sleep(0.02)
    (tmp_path / "a.jpg").write_bytes(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert pack_stat(os.stat(path)) != before  # same size and mtime: the ctime tells


def test_more_paths_than_one_query_takes_are_read(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    memo.record([(f"{path}{i}", FileState.of(long_ago(path)), DIGEST) for i in range(5000)])
    assert len(memo.lookup([f"{path}{i}" for i in range(5000)])) == 5000


def test_an_entry_can_be_replaced_and_forgotten(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    memo.record([(path, FileState.of(long_ago(path)), b"x" * 16)])
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    assert memo.lookup([path])[path][1] == DIGEST
    memo.forget([path])
    assert memo.lookup([path]) == {}


def test_a_damaged_file_is_replaced(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    memo.file.parent.mkdir()
    memo.file.write_bytes(b"this is no database" * 100)
    assert memo.lookup([path]) == {}
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    assert memo.lookup([path])[path][1] == DIGEST


def test_a_locked_file_costs_time_and_nothing_else(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    other = sqlite3.connect(memo.file)
    other.execute("BEGIN EXCLUSIVE")
    assert memo.lookup([path]) == {}
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    other.rollback()
    other.close()
    assert memo.lookup([path])[path][1] == DIGEST


def test_a_folder_that_cannot_be_written_is_tolerated(tmp_path):
    (tmp_path / "file").write_text("")
    memo = DigestMemo(tmp_path / "file" / "memo.sqlite")
    path = old_file(tmp_path / "a.jpg")
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    memo.forget([path])
    assert memo.lookup([path]) == {}


def test_names_that_are_no_text_are_left_out(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    strange = os.fsdecode(b"/\xff.jpg")
    memo.record([(strange, FileState.of(long_ago(path)), DIGEST), (path, FileState.of(long_ago(path)), DIGEST)])
    assert memo.lookup([strange, path])[path][1] == DIGEST
    memo.forget([strange, path])
    assert memo.lookup([strange, path]) == {}


def test_the_file_is_this_machines_own_in_the_users_cache(own_folders):
    import platform

    assert DigestMemo().file.is_relative_to(own_folders)
    assert platform.node().split(".")[0][:8] in DigestMemo().file.name


def test_a_file_that_was_young_when_hashing_began_is_not_trusted_however_long_it_took(memo, tmp_path):
    path = old_file(tmp_path / "a.jpg")
    status = long_ago(path)
    memo.record([(path, FileState.of(status), DIGEST)], since=status.st_mtime_ns + 10**9)
    assert memo.lookup([path]) == {}
    memo.record([(path, FileState.of(status), DIGEST)], since=status.st_mtime_ns + 3 * 10**9)
    assert path in memo.lookup([path])


def test_a_folder_in_its_place_is_tolerated(tmp_path):
    path = old_file(tmp_path / "a.jpg")
    memo = DigestMemo(tmp_path)
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    assert memo.lookup([path]) == {}


def test_a_file_that_may_not_be_opened_is_tolerated(memo, tmp_path, monkeypatch):
    path = old_file(tmp_path / "a.jpg")
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])

    def refuse(*_arguments, **_options):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    memo.record([(path, FileState.of(long_ago(path)), DIGEST)])
    memo.forget([path])
    assert memo.lookup([path]) == {}
