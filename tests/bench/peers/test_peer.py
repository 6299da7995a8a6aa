from __future__ import annotations

import numpy as np
import pytest

from featx.bench._job import Job
from featx.bench._worker import Worker
from featx.bench.peers import PEERS, PeerCandidate
from tests.bench.candidates import ABSENT, GOOD

JOB = Job((), "efficientnet_lite0", "random", 1)


def test_a_peer_that_is_not_installed_says_what_to_type():
    assert ABSENT.missing(JOB) == "not installed: pip install 'featx-absent[all]'"
    assert ABSENT.version() == ""


def test_a_peer_that_is_there_has_a_version_and_no_reason():
    assert GOOD.missing(JOB) == ""
    assert GOOD.version() == np.__version__


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_is_measured_or_says_why_not(peer):
    reason = peer.missing(Job((), "googlenet", "random", 1))
    assert reason == "" or reason.startswith(("not installed: pip install", "has no googlenet"))


def test_a_candidate_measures_the_whole_in_another_process(files):
    with Worker(PeerCandidate, GOOD, Job(tuple(files), "efficientnet_lite0", "random", 1)) as worker:
        assert worker.call("whole") > 0
