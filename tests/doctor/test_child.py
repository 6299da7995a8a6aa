from __future__ import annotations

import sys

import pytest

from featx.doctor._child import _crash, run


def test_what_it_prints_is_its_answer():
    outcome = run("import sys; print(sys.argv[1:]); print('hm', file=sys.stderr)", "a b", "ü")
    assert (outcome.reason, outcome.output, outcome.warnings) == ("", "['a b', 'ü']", "hm")


@pytest.mark.parametrize("name", ["SIGILL", "SIGSEGV", "SIGABRT"])
def test_a_crash_is_an_answer(name):
    assert run(f"import os, signal; os.kill(os.getpid(), signal.{name})").reason == f"crashed with {name}"


def test_a_crash_on_windows_is_named_too():
    assert _crash(0xC000001D) == "crashed with SIGILL"
    assert _crash(1) is None


def test_the_error_is_the_reason():
    assert run("raise ValueError('first\\nsecond')").reason == "ValueError: first"
    assert run("import nowhere").reason == "ModuleNotFoundError: No module named 'nowhere'"
    assert run("import sys; sys.exit(3)").reason == "exit status 3"
    assert run("import featx; featx.EmbeddingStore(3)").reason.startswith("featx.exceptions.ParameterError: Got locat")


def test_it_does_not_wait_for_ever():
    assert run("import time; time.sleep(60)", seconds=0.2).reason == "no answer in 0.2 seconds"


def test_it_finds_what_this_process_finds_and_no_more(tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert run("import beside").reason.startswith("ModuleNotFoundError")
    monkeypatch.syspath_prepend(tmp_path)
    assert run("import beside").reason == ""
