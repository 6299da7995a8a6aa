from __future__ import annotations

import numpy as np
import pytest

from featx import list_encoders
from featx.bench._job import Job
from featx.bench.peers import IMG2VEC


@pytest.mark.parametrize(("encoder", "dim"), [("resnet18", 512), ("densenet121", 1024), ("efficientnet_b0", 1280)])
def test_it_embeds_without_a_hub(encoder, dim, files):
    pytest.importorskip("img2vec_pytorch")
    embeddings = IMG2VEC.build(IMG2VEC.network(encoder), Job((), encoder, "random", 0))(files[:2])
    assert embeddings.shape == (2, dim)
    assert np.isfinite(embeddings).all()


def test_it_has_few_networks():
    names = [name for name in list_encoders()["name"].unique() if IMG2VEC.network(name)]
    assert {"resnet50", "vgg16_bn", "efficientnet_b7"} <= set(names)
    assert not {"efficientnet_lite0", "vgg16", "vit_b_16", "convnext_tiny"} & set(names)
