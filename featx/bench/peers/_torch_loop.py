"""A careful loop of plain torch over featx's own network: what a user could write in an afternoon."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from featx.bench._job import Job
from featx.bench.peers._loading import batched
from featx.bench.peers._peer import Peer
from featx.encoders import resolve
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch
    from PIL import Image


def _build(_name: str, job: Job) -> Callable[[list[str]], np.ndarray]:
    import torch

    (spec,) = resolve(job.encoder, weights=job.weights)
    network = spec.build().eval()
    if spec.classifier is not None:
        network.set_submodule(spec.classifier, torch.nn.Identity())
    network = network.to(job.device, memory_format=torch.channels_last)
    mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (spec.preprocess.mean, spec.preprocess.std))

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        images = ((pixels.float() - mean) / std).to(job.device, memory_format=torch.channels_last)
        return network(images)

    return batched(_transform(spec.preprocess), forward, job.n_threads)


def _transform(preprocess: Preprocess) -> Callable[[Image.Image], torch.Tensor]:
    """Make torchvision's usual preset, up to normalisation."""
    from torchvision import transforms

    size = preprocess.size
    interpolation = transforms.InterpolationMode(preprocess.interpolation)
    resized = (preprocess.resize or size) if preprocess.fit == "crop" else (size, size)
    steps = (transforms.Resize(resized, interpolation), transforms.CenterCrop(size), transforms.PILToTensor())
    return transforms.Compose(steps)


TORCH_LOOP = Peer(
    name="plain torch loop",
    package="torch",
    modules=("torch", "torchvision"),
    install="torch torchvision",
    network=str,
    build=_build,
)
