from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from featx.bench import _worker
from featx.bench._worker import Worker
from featx.exceptions import FeatxError, ParameterError
from tests.bench.candidates import Counter


@pytest.fixture
def worker():
    with Worker(Counter, 5, quiet=True) as worker:
        yield worker


def test_an_object_lives_in_another_process_and_keeps_its_state(worker):
    assert [worker.call("count"), worker.call("count")] == [6, 7]
    assert worker.call("process") != os.getpid()


def test_an_error_is_raised_here_and_the_object_lives_on(worker):
    with pytest.raises(ParameterError, match=r"No\."):
        worker.call("fail")
    with pytest.raises(RuntimeError, match="LocalError: cannot be pickled"):
        worker.call("fail_strangely")
    assert worker.call("count") == 6


def test_a_process_that_dies_is_told_with_its_exit_code(worker):
    with pytest.raises(FeatxError, match="exit code 3"):
        worker.call("die")


def test_what_a_quiet_process_prints_is_not_shown(worker, capfd):
    worker.call("count")
    assert capfd.readouterr().out == ""


def test_an_error_of_the_factory_is_raised_here():
    with pytest.raises(ParameterError, match="start=-1"):
        Worker(Counter, -1)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_the_process_is_gone_after_closing():
    with Worker(Counter, 0) as worker:
        process = worker.call("process")
        assert Path(f"/proc/{process}").exists()
    assert not Path(f"/proc/{process}").exists()


def test_a_busy_process_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(_worker, "_PATIENCE", 0.1)
    started = time.perf_counter()
    with Worker(Counter, 0) as worker:
        worker._connection.send("work_long")
    assert time.perf_counter() - started < 30
