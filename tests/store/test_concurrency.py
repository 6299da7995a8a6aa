"""Processes and threads that use one location at the same time."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from functools import partial

import numpy as np
import pytest

import featx
from featx.exceptions import StoreError
from featx.store._upkeep import TendedFolder
from tests.store.content import META, OTHER, PRINT, make_keys, make_rows, some_keys, some_rows


def work(location: str, worker: int) -> None:
    """A process that fills in whatever is missing, a chunk at a time, each under the lock."""
    store = featx.EmbeddingStore(location)
    for start in range(0, 120, 20):
        numbers = np.arange(start, start + 20)
        with store.lock(PRINT):
            missing = numbers[~store.get_many(PRINT, make_keys(numbers))[0]]
            store.put_many(PRINT, make_keys(missing), make_rows(missing), {**META, "worker": worker})


def test_processes_that_take_turns_write_each_row_once(store):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(str(store.location), i)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    info = store.info()
    assert info["rows"].tolist() == info["unique_rows"].tolist() == [120]
    np.testing.assert_array_equal(store.get_many(PRINT, make_keys(range(120)))[1], make_rows(range(120)))


def test_threads_may_share_one_store(store):
    errors = []

    def fill(first):
        try:
            for n in range(first, first + 20):
                store.put_many(PRINT, make_keys([n]), make_rows([n]), META)
                found, rows = store.get_many(PRINT, make_keys([n, first]))
                assert found.all()
                np.testing.assert_array_equal(rows, make_rows([n, first]))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=fill, args=(first,)) for first in (0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_threads_of_one_process_take_turns_too(store):
    inside, most = [], []

    def visit():
        with store.lock(PRINT):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    run_threads([visit] * 4)
    assert most == [1] * 4


UPKEEP = {
    "compacted": lambda store: store.compact(),
    "pruned": lambda store: store.prune(max_bytes=0),
    "repaired": lambda store: store.verify(repair=True),
}


@pytest.mark.parametrize("done", UPKEEP)
def test_upkeep_within_a_turn_is_refused_before_it_waits_for_itself(store, done):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    for other in (store, featx.EmbeddingStore(store.location)):
        with store.lock(OTHER), pytest.raises(StoreError, match=rf"cannot be {done} within a turn.*to have ended"):
            UPKEEP[done](other)
    assert store.get_many(PRINT, make_keys([1]))[0].all()
    UPKEEP[done](store)


def test_upkeep_waits_for_the_turns_of_other_threads(store):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    began, ended = threading.Event(), []

    def compact():
        began.set()
        store.compact()
        ended.append(1)

    with store.lock(PRINT):
        thread = threading.Thread(target=compact)
        thread.start()
        began.wait()
        assert not ended
    thread.join()
    assert ended


def test_a_turn_is_taken_once(store):
    with store.lock(PRINT):
        for other in (store, featx.EmbeddingStore(store.location)):
            with pytest.raises(StoreError, match=r"this thread has it\. Take it once"), other.lock(PRINT):
                pass
    with store.lock(PRINT):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_lock_that_another_thread_held(store):
    store.put_many(PRINT, make_keys([1]), make_rows([1]), META)
    store.get_many(PRINT, make_keys([1]))
    held, release = threading.Event(), threading.Event()

    def hold():
        with store._folders[PRINT[:32]]._lock, store._lock:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=store.get_many, args=(PRINT, make_keys([1])))
    child.start()
    child.join(600)
    stuck = child.is_alive()
    child.kill()
    release.set()
    thread.join()
    assert not stuck


N = 140  # segments of one row: merged twice


def write_small(location: str, looks) -> None:
    """A process whose segments are small, so that it merges again and again; now and then it waits to be looked at."""
    store = featx.EmbeddingStore(location)
    for n in range(N):
        if n % 10 == 9:
            looks.acquire()
        with store.lock(PRINT):
            store.put_many(PRINT, make_keys([n]), make_rows([n]), META)


def test_a_reader_meets_only_right_rows_while_another_process_merges(store):
    context = multiprocessing.get_context("spawn")
    looks = context.Semaphore(0)
    process = context.Process(target=write_small, args=(str(store.location), looks))
    process.start()
    listings, seen = set(), 0
    while process.is_alive():
        found, rows = store.get_many(PRINT, make_keys(range(N)))
        assert len(rows) == found.sum()
        if found.any():
            np.testing.assert_array_equal(rows, make_rows(np.flatnonzero(found)))
        listings.add(int(found.sum()))
        if len(listings) > seen:
            looks.release()
            seen = len(listings)
        time.sleep(0.002)  # leave the writer some of the machine
    assert process.exitcode == 0
    assert len(listings) > 10, "it read while the other wrote"
    found, rows = store.get_many(PRINT, make_keys(range(N)))
    assert found.all()
    np.testing.assert_array_equal(rows, make_rows(range(N)))
    assert store.info()["segments"][0] <= 65


def run_threads(targets) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_read_write_and_tidy_one_folder(tmp_path):
    folder = TendedFolder(tmp_path)
    keys, rows = some_keys(150), some_rows(150)
    wrong = []

    def fill(number):
        for i in range(number, 150, 3):
            folder.put(keys[i : i + 1], rows[i : i + 1], {})
            found, got = folder.get(keys)
            if not found[i] or not np.array_equal(got, rows[found]):
                wrong.append(i)
            if i % 20 == 0:
                with tidying:
                    folder.tidy()

    tidying = threading.Lock()
    run_threads([partial(fill, number) for number in range(3)])
    assert not wrong
    found, got = folder.get(keys)
    assert found.all()
    np.testing.assert_array_equal(got, rows)
    assert len(folder.segment_names()) < 150
