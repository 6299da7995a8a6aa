from __future__ import annotations

import numpy as np
import pytest

from featx.bench._job import Job
from featx.bench.peers import EMBETTER


def test_it_embeds_without_a_hub_and_leaves_timm_as_it_was(files):
    timm = pytest.importorskip("timm")
    pytest.importorskip("embetter.vision")
    create = timm.create_model
    embeddings = EMBETTER.build("tf_efficientnet_lite0", Job((), "efficientnet_lite0", "random", 0))(files[:3])
    assert embeddings.shape == (3, 1280)
    assert np.isfinite(embeddings).all()
    assert timm.create_model is create
