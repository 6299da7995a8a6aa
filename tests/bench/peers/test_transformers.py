from __future__ import annotations

import numpy as np
import pytest

from featx.bench._job import Job
from featx.bench.peers import TRANSFORMERS, _transformers
from featx.encoders import resolve


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("transformers")
    pytest.importorskip("timm")


@pytest.mark.parametrize(("encoder", "dim"), [("resnet18", 512), ("efficientnet_lite0", 1280)])
@pytest.mark.filterwarnings("ignore")  # of another library's making
def test_it_embeds_without_a_hub(encoder, dim, files):
    name = TRANSFORMERS.network(encoder)
    embeddings = TRANSFORMERS.build(name, Job((), encoder, "random", 0))(files[:3])
    assert embeddings.shape == (3, dim)
    assert np.isfinite(embeddings).all()


@pytest.mark.parametrize("encoder", ["resnet50", "convnext_tiny"])
@pytest.mark.filterwarnings("ignore")
def test_its_networks_are_those_of_featx(encoder):
    ours = resolve(encoder, weights="random")[0]
    classifier = ours.build().get_submodule(ours.classifier)
    expected = count(ours.build()) - count(classifier)
    assert count(_transformers._network(TRANSFORMERS.network(encoder))[0]) == expected


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
