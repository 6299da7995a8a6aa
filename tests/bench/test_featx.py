from __future__ import annotations

import os
import time

import pytest

from featx.bench._featx import FeatxCandidate
from featx.bench._job import Job
from featx.images import DigestMemo


@pytest.fixture
def candidate(files):
    return FeatxCandidate(Job(tuple(files), "resnet18", "random", 2))


def test_every_part_has_a_rate_and_the_parts_are_faster_than_the_whole(candidate):
    whole = candidate.whole()
    assert 0 < whole < candidate.decode()
    assert candidate.encode() > 0
    assert candidate.warm() > 2 * whole


def test_it_says_what_ran(candidate):
    about = candidate.about()
    assert (about["dim"], about["precision"]) == (512, "float32")
    assert about["batch_size"] >= 1


def test_embeddings_are_those_of_eager_torch(candidate):
    assert 0 <= candidate.difference() < 1e-4


def test_the_whole_hashes_every_file_again(candidate, files):
    memo, later = DigestMemo(), time.time_ns() + 10**10
    memo.record([(path, os.stat(path), b"remembered here.") for path in files], since=later)
    assert set(memo.lookup(files)) == set(files)
    candidate.whole()
    assert b"remembered here." not in {digest for _, digest in memo.lookup(files).values()}


def test_one_image_is_enough(files):
    candidate = FeatxCandidate(Job((files[0],), "resnet18", "random", 2, {"batch_size": 4}))
    assert candidate.about()["batch_size"] == 4
    assert candidate.encode() > 0
    assert candidate.whole() > 0
