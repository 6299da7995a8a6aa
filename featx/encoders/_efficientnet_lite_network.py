"""The EfficientNet-Lite network (Tan & Le 2019, arXiv:1905.11946); imports torch, so imported only to build one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

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


class EfficientNetLite(nn.Module):
    """An EfficientNet-Lite with random weights.

    Parameters
    ----------
    width, depth : float
        Multipliers of channels and of repeats; stem, head and the repeats of
        the first and last stage stay fixed, as the "Lite" variants have it.

    Notes
    -----
    Nodes: ``stem``, ``blocks.0`` ..., ``head``, ``pool``, ``classifier``.
    """

    def __init__(self, width: float, depth: float):
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, stride=2)
        self.blocks = nn.Sequential(*(Block(*arguments) for arguments in _block_arguments(width, depth)))
        self.head = ConvNorm(scale_channels(_STAGES[-1][-1], width), 1280)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalized images (n, 3, h, w) -> logits (n, 1000)."""
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(torch.flatten(self.pool(x), 1))


class Block(nn.Module):
    """Mobile inverted bottleneck, without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        if expansion != 1:
            self.expand = ConvNorm(inputs, hidden)
        self.depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvNorm(hidden, outputs, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Expand, filter, project; the input is added where shapes allow."""
        y = self.expand(x) if hasattr(self, "expand") else x
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class ConvNorm(nn.Sequential):
    """Convolution, batch normalization and ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel=1, stride=1, groups=1, activation=True):
        super().__init__()
        self.conv = SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=_NORM_EPS)
        if activation:
            self.activation = nn.ReLU6(inplace=True)


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: the odd pixel goes right and below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad, then convolve."""
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


def scale_channels(channels: int, width: float) -> int:
    """Nearest multiple of 8 that is not more than 10 % below the scaled value."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _block_arguments(width: float, depth: float) -> Iterator[tuple[int, int, int, int, int]]:
    inputs = 32
    for i, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES):
        fixed = i in (0, len(_STAGES) - 1)
        outputs = scale_channels(channels, width)
        for repeat in range(repeats if fixed else math.ceil(repeats * depth)):
            yield inputs, outputs, kernel, stride if repeat == 0 else 1, expansion
            inputs = outputs
