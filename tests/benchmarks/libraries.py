"""Other libraries, each used as its own documentation does, on random weights: nothing is downloaded."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from featx.bench import images_per_second
from featx.encoders import resolve
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch

BATCH = 32
_WARM_UP = 32  # images
Embed = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Task:
    """One network on some images, as every process gets it.

    Attributes
    ----------
    paths : tuple of str
        The image files.
    encoder, weights : str
        As for `ImageEncoder`.
    n_threads : int
        Number of threads, or of worker processes, that decode.
    device : str
        Where libraries run: ``"cpu"`` or ``"cuda:0"``.
    torch_threads : int or None
        The number of torch's threads; None is torch's own choice.
    """

    paths: tuple[str, ...]
    encoder: str
    weights: str
    n_threads: int
    device: str = "cpu"
    torch_threads: int | None = None


@dataclass(frozen=True)
class Library:
    """Another library.

    Attributes
    ----------
    name : str
        What the table shows.
    package : str
        The distribution whose version is shown.
    modules : tuple of str
        The modules that must be installed.
    install : str
        What brings them, for pip.
    network : callable
        featx's name of a network -> this library's, None if it has none.
    build : callable
        (its network, task) -> function from paths to embeddings (n, dim).
    """

    name: str
    package: str
    modules: tuple[str, ...]
    install: str
    network: Callable[[str], str | None]
    build: Callable[[str, Task], Embed]

    def version(self) -> str:
        """Return the installed version, "" if there is none."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def missing(self, task: Task) -> str:
        """Return why it cannot be measured, "" if it can."""
        if any(importlib.util.find_spec(module) is None for module in self.modules):
            return f"not installed: pip install '{self.install}'"
        return "" if self.network(task.encoder) else f"has no {task.encoder}"


class LibraryBench:
    """A library, loaded and warmed up, for a process that runs nothing else."""

    def __init__(self, library: Library, task: Task):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read at import: whatever is missing here is not downloaded
        if sys.platform == "linux":  # a DataLoader's workers start quickest so; this process itself was spawned
            multiprocessing.set_start_method("fork", force=True)
        import torch

        if task.torch_threads:
            torch.set_num_threads(task.torch_threads)
        self._paths = list(task.paths)
        self._embed = library.build(library.network(task.encoder), task)
        self._embed(self._paths[:_WARM_UP])

    def whole(self) -> float:
        """Measure the way from paths to embeddings, in images/s."""
        return images_per_second(lambda: self._embed(self._paths), len(self._paths))


class _Files:
    """A data set whose index is the path."""

    def __init__(self, transform: Callable[[Image.Image], torch.Tensor]):
        self._transform = transform

    def __getitem__(self, path: str) -> torch.Tensor:
        with Image.open(path) as image:
            return self._transform(image.convert("RGB"))


def batched(
    transform: Callable[[Image.Image], torch.Tensor], forward: Callable[[torch.Tensor], torch.Tensor], n_workers: int
) -> Embed:
    """Embed with torch's DataLoader, as a careful user would write it.

    Parameters
    ----------
    transform : callable
        Image -> tensor; runs in the workers, which stay between calls.
    forward : callable
        Batch of 32 -> embeddings (n, dim).
    n_workers : int
        Number of processes that decode.
    """
    import torch

    batches: list[list[str]] = []
    loader = torch.utils.data.DataLoader(
        _Files(transform), batch_sampler=batches, num_workers=n_workers, persistent_workers=n_workers > 0
    )

    def embed(paths: list[str]) -> np.ndarray:
        batches[:] = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        with torch.inference_mode():
            return torch.cat([forward(batch).flatten(1) for batch in loader]).cpu().numpy()

    return embed


# ----------------------------------------------------------------------------------------------------------------------
# A careful loop of plain torch over featx's own network: what a user could write in an afternoon.


def _build_torch_loop(_name: str, task: Task) -> Embed:
    import torch

    (spec,) = resolve(task.encoder, weights=task.weights)
    network = spec.build().eval()
    if spec.classifier is not None:
        network.set_submodule(spec.classifier, torch.nn.Identity())
    images = torch.rand(8, 3, *[spec.preprocess.size] * 2, device=task.device)
    layout = _faster_layout(network.to(task.device), images)
    network = network.to(memory_format=layout)
    mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (spec.preprocess.mean, spec.preprocess.std))

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        images = pixels.to(task.device).float()
        return network(((images - mean.to(task.device)) / std.to(task.device)).to(memory_format=layout))

    return batched(_torchvision_transform(spec.preprocess), forward, task.n_threads)


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


def _torchvision_transform(preprocess: Preprocess) -> Callable[[Image.Image], torch.Tensor]:
    """Make torchvision's usual preset, up to normalization."""
    from torchvision import transforms

    size = preprocess.size
    interpolation = transforms.InterpolationMode(preprocess.interpolation)
    side = preprocess.resize or size
    resized = side if preprocess.fit == "crop" else (side, side)
    steps = (transforms.Resize(resized, interpolation), transforms.CenterCrop(size), transforms.PILToTensor())
    return transforms.Compose(steps)


TORCH_LOOP = Library(
    name="plain torch loop",
    package="torch",
    modules=("torch", "torchvision"),
    install="torch torchvision",
    network=str,
    build=_build_torch_loop,
)

# ----------------------------------------------------------------------------------------------------------------------
# timm: create_model, its own transform, a DataLoader.

_SAME_IN_TIMM = re.compile(
    r"resnet(18|34|50|101|152)|convnext_(tiny|small|base|large)|densenet(121|161|169|201)|vgg\d\d(_bn)?"
)
_RENAMED_IN_TIMM = {
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "efficientnet_lite1": "tf_efficientnet_lite1",
    "efficientnet_lite2": "tf_efficientnet_lite2",
    "swin_t": "swin_tiny_patch4_window7_224",
    "swin_s": "swin_small_patch4_window7_224",
    "swin_b": "swin_base_patch4_window7_224",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
}


def timm_name(encoder: str) -> str | None:
    """Translate featx's name of a network to timm's.

    Examples
    --------
    >>> from tests.benchmarks.libraries import timm_name
    >>> timm_name("vit_b_16"), timm_name("resnet50"), timm_name("timm:resnet50.a1_in1k"), timm_name("googlenet")
    ('vit_base_patch16_224', 'resnet50', 'resnet50', None)
    """
    if encoder.startswith("timm:"):
        return encoder.removeprefix("timm:").partition(".")[0]
    return encoder if _SAME_IN_TIMM.fullmatch(encoder) else _RENAMED_IN_TIMM.get(encoder)


def _build_timm(name: str, task: Task) -> Embed:
    import timm

    network = timm.create_model(name, pretrained=False, num_classes=0).eval().to(task.device)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    return batched(transform, lambda batch: network(batch.to(task.device)), task.n_threads)


TIMM = Library(name="timm", package="timm", modules=("timm",), install="timm", network=timm_name, build=_build_timm)

# ----------------------------------------------------------------------------------------------------------------------
# transformers: pipeline("image-feature-extraction"), which wraps timm's networks where it has none of its own.

_TRANSFORMERS_BATCH = 8  # the fastest of 1, 8 and 32 on a CPU
_RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": ("basic", (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048)),
    "resnet101": ("bottleneck", (3, 4, 23, 3), (256, 512, 1024, 2048)),
    "resnet152": ("bottleneck", (3, 8, 36, 3), (256, 512, 1024, 2048)),
}


def _build_transformers(name: str, task: Task) -> Embed:
    from transformers import pipeline

    network, processor = transformers_network(name)
    extract = pipeline(
        "image-feature-extraction", model=network.eval(), image_processor=processor, device=task.device, pool=True
    )

    # Its workers cannot be spawned: what they are given cannot be pickled.
    n_workers = task.n_threads if multiprocessing.get_start_method() == "fork" else 0

    def embed(paths: list[str]) -> np.ndarray:
        outputs = extract(paths, return_tensors=True, batch_size=_TRANSFORMERS_BATCH, num_workers=n_workers)
        return np.stack([output.flatten().cpu().numpy() for output in outputs])

    return embed


def transformers_network(name: str) -> tuple[Any, Any]:
    """Make transformers' model and image processor for one of timm's names."""
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


TRANSFORMERS = Library(
    name="transformers pipeline",
    package="transformers",
    modules=("transformers", "timm"),
    install="transformers timm",
    network=timm_name,
    build=_build_transformers,
)

# ----------------------------------------------------------------------------------------------------------------------
# img2vec, whose get_vec takes a list of PIL images.

_SAME_IN_IMG2VEC = re.compile(r"resnet(18|34|50|101|152)|efficientnet_b[0-7]|alexnet")
_RENAMED_IN_IMG2VEC = {
    "densenet121": "densenet",
    "vgg11_bn": "vgg11",
    "vgg13_bn": "vgg13",
    "vgg16_bn": "vgg16",
    "vgg19_bn": "vgg19",
}


def _img2vec_name(encoder: str) -> str | None:
    return encoder if _SAME_IN_IMG2VEC.fullmatch(encoder) else _RENAMED_IN_IMG2VEC.get(encoder)


def _build_img2vec(name: str, task: Task) -> Embed:
    import torchvision
    from img2vec_pytorch import Img2Vec, img_to_vec

    make = getattr(torchvision.models, task.encoder)
    with patch.object(img_to_vec, task.encoder, lambda weights: make(weights=None)):
        encoder = Img2Vec(cuda=task.device != "cpu", model=name)

    def embed(paths: list[str]) -> np.ndarray:
        parts = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        return np.concatenate([encoder.get_vec([Image.open(path).convert("RGB") for path in part]) for part in parts])

    return embed


IMG2VEC = Library(
    name="img2vec",
    package="img2vec-pytorch",
    modules=("img2vec_pytorch",),
    install="img2vec-pytorch",
    network=_img2vec_name,
    build=_build_img2vec,
)

# ----------------------------------------------------------------------------------------------------------------------
# embetter: its ImageLoader and TimmEncoder.


def _build_embetter(name: str, task: Task) -> Embed:
    import timm
    from embetter.vision import ImageLoader, TimmEncoder

    with patch.object(timm, "create_model", partial(_create_without_hub, timm.create_model)):
        encoder = TimmEncoder(name)
    loader = ImageLoader()
    return lambda paths: encoder.transform(loader.transform(paths))


def _create_without_hub(create: Callable, name: str, *, pretrained: bool, **options: object) -> Any:
    return create(name, pretrained=False, **options)


EMBETTER = Library(
    name="embetter",
    package="embetter",
    modules=("embetter", "timm"),
    install="embetter[vision]",
    network=timm_name,
    build=_build_embetter,
)

LIBRARIES = (TORCH_LOOP, TIMM, TRANSFORMERS, IMG2VEC, EMBETTER)
