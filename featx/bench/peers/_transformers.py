"""Hugging Face's pipeline("image-feature-extraction"), which wraps timm's networks where it has none of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np

from featx.bench._job import Job
from featx.bench.peers._names import timm_name
from featx.bench.peers._peer import Peer

_BATCH = 8  # the quickest of 1, 8 and 32 on a CPU
_RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": ("basic", (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048)),
    "resnet101": ("bottleneck", (3, 4, 23, 3), (256, 512, 1024, 2048)),
    "resnet152": ("bottleneck", (3, 8, 36, 3), (256, 512, 1024, 2048)),
}


def _build(name: str, job: Job) -> Callable[[list[str]], np.ndarray]:
    from transformers import pipeline

    network, processor = _network(name)
    extract = pipeline(
        "image-feature-extraction", model=network.eval(), image_processor=processor, device=job.device, pool=True
    )

    # Its workers cannot be spawned: what they are given cannot be pickled.
    n_workers = job.n_threads if multiprocessing.get_start_method() == "fork" else 0

    def embed(paths: list[str]) -> np.ndarray:
        outputs = extract(paths, return_tensors=True, batch_size=_BATCH, num_workers=n_workers)
        return np.stack([output.flatten().cpu().numpy() for output in outputs])

    return embed


def _network(name: str) -> tuple[Any, Any]:
    import transformers as hf

    if name in _RESNETS:
        kind, depths, widths = _RESNETS[name]
        config = hf.ResNetConfig(layer_type=kind, depths=list(depths), hidden_sizes=list(widths))
        return hf.ResNetModel(config), hf.ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875)
    if name == "convnext_tiny":
        return hf.ConvNextModel(hf.ConvNextConfig()), hf.ConvNextImageProcessor(size={"shortest_edge": 224})
    if name == "vit_base_patch16_224":
        return hf.ViTModel(hf.ViTConfig()), hf.ViTImageProcessor(size={"height": 224, "width": 224})
    network = hf.TimmWrapperModel(hf.TimmWrapperConfig(architecture=name, num_labels=0))
    processor = hf.TimmWrapperImageProcessor(pretrained_cfg=network.timm_model.pretrained_cfg, architecture=name)
    return network, processor


TRANSFORMERS = Peer(
    name="transformers pipeline",
    package="transformers",
    modules=("transformers", "timm"),
    install="transformers timm",
    network=timm_name,
    build=_build,
)
