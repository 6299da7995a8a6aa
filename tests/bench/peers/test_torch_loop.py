from __future__ import annotations

import numpy as np
import pytest

import featx
from featx.bench._job import Job
from featx.bench._worker import Worker
from featx.bench.peers import TORCH_LOOP, PeerCandidate


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet_lite0"])
def test_its_embeddings_are_those_of_featx_up_to_rounding_of_the_resize(encoder, files):
    job = Job(tuple(files), encoder, "random", 0)
    embeddings = TORCH_LOOP.build(encoder, job)(files)
    expected = featx.ImageEncoder(encoder, weights="random", cache=False, verbose=0).transform(files)
    assert embeddings.shape == expected.shape
    assert np.linalg.norm(embeddings - expected) < 0.05 * np.linalg.norm(expected)


def test_it_runs_with_workers_of_its_own(files):
    with Worker(PeerCandidate, TORCH_LOOP, Job(tuple(files), "resnet18", "random", 2), quiet=True) as worker:
        assert worker.call("whole") > 0
