"""A careful loop of plain torch over featx's own network: what a user could write in an afternoon."""

from __future__ import annotations

import time
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
    layout = _faster_layout(network.to(job.device), torch.rand(8, 3, *[spec.preprocess.size] * 2, device=job.device))
    network = network.to(memory_format=layout)
    mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (spec.preprocess.mean, spec.preprocess.std))

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        images = pixels.to(job.device).float()
        return network(((images - mean.to(job.device)) / std.to(job.device)).to(memory_format=layout))

    return batched(_transform(spec.preprocess), forward, job.n_threads)


def _faster_layout(network: torch.nn.Module, images: torch.Tensor) -> torch.memory_format:
    """Try both memory layouts: which is faster depends on the network."""
    import torch

    seconds = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        network, batch = network.to(memory_format=layout), images.to(memory_format=layout)
        with torch.inference_mode():
            network(batch)
            started = time.perf_counter()
            network(batch)[0, 0].item()  # waits for a GPU
        seconds[layout] = time.perf_counter() - started
    return min(seconds, key=seconds.get)


def _transform(preprocess: Preprocess) -> Callable[[Image.Image], torch.Tensor]:
    """Make torchvision's usual preset, up to normalisation."""
    from torchvision import transforms

    size = preprocess.size
    interpolation = transforms.InterpolationMode(preprocess.interpolation)
    side = preprocess.resize or size
    resized = side if preprocess.fit == "crop" else (side, side)
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
