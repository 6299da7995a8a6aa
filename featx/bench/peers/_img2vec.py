"""img2vec, whose get_vec takes a list of PIL images."""

from __future__ import annotations

import re
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
from PIL import Image

from featx.bench._job import Job
from featx.bench.peers._peer import Peer

_BATCH = 32
_SAME = re.compile(r"resnet(18|34|50|101|152)|efficientnet_b[0-7]|alexnet")
_RENAMED = {"densenet121": "densenet", "vgg11_bn": "vgg11", "vgg13_bn": "vgg13", "vgg16_bn": "vgg16"} | {
    "vgg19_bn": "vgg19"
}


def _network(encoder: str) -> str | None:
    return encoder if _SAME.fullmatch(encoder) else _RENAMED.get(encoder)


def _build(name: str, job: Job) -> Callable[[list[str]], np.ndarray]:
    import torchvision
    from img2vec_pytorch import Img2Vec, img_to_vec

    make = getattr(torchvision.models, job.encoder)
    with patch.object(img_to_vec, job.encoder, lambda weights: make(weights=None)):
        encoder = Img2Vec(cuda=job.device != "cpu", model=name)

    def embed(paths: list[str]) -> np.ndarray:
        parts = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
        return np.concatenate([encoder.get_vec([Image.open(path).convert("RGB") for path in part]) for part in parts])

    return embed


IMG2VEC = Peer(
    name="img2vec",
    package="img2vec-pytorch",
    modules=("img2vec_pytorch",),
    install="img2vec-pytorch",
    network=_network,
    build=_build,
)
