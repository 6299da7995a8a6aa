"""Damage of any kind gives an image or a reason; ``python -m tests.fuzz`` looks for more at length."""

from __future__ import annotations

import sys

import pytest

from featx.images import DecodeError, to_pixels
from tests import fuzz


@pytest.mark.skipif(sys.platform != "linux", reason="the child's limits are Linux's")
def test_a_sample_of_mutants_of_every_format_is_accepted_or_refused():
    table, findings = fuzz.fuzz(600, seed=1)
    assert findings[:-1] == []
    assert sum(sum(counts.values()) for counts in table.values()) == 600
    assert set(table) == set(fuzz.seeds())
    for name, counts in table.items():
        assert counts["accepted"], name
        assert counts["refused"], name


def test_what_is_mutated_is_read_or_is_of_a_mode_that_is_refused():
    for name, files in fuzz.seeds().items():
        for data in files:
            try:
                assert to_pixels(data).mode == "RGB", name
            except DecodeError as error:
                assert "32-bit integers" in str(error)  # noqa: PT017


def test_mutants_are_made_again_from_their_number():
    files = fuzz.seeds()
    assert [fuzz.mutant(i, 0, files) for i in range(50)] == [fuzz.mutant(i, 0, files) for i in range(50)]
    assert fuzz.mutant(3, 0, files) != fuzz.mutant(3, 1, files)


def test_an_exception_full_memory_and_a_wrong_shape_are_found(monkeypatch):
    def outcome(result):
        monkeypatch.setattr(fuzz, "to_pixels", result)
        return fuzz.read(b"", fast=False)[0]

    def fail(*_):
        raise KeyError("bug")

    def fill(*_):
        raise DecodeError("the data is damaged") from MemoryError()

    assert outcome(fail) == "exception"
    assert outcome(fill) == "memory"
    assert outcome(lambda *_: fuzz.Image.new("L", (3, 2))) == "wrong"
    assert outcome(lambda *_: fuzz.Image.new("RGB", (3, 2))) == "accepted"
