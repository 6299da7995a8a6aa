from __future__ import annotations

import numpy as np
import pytest

from featx.bench._job import Job
from featx.bench.peers import TIMM


def test_it_embeds_with_the_network_of_that_name(files):
    pytest.importorskip("timm")
    embeddings = TIMM.build("resnet18", Job(tuple(files), "resnet18", "random", 0))(files)
    assert embeddings.shape == (12, 512)
    assert np.isfinite(embeddings).all()
