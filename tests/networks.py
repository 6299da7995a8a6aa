"""Small networks for the tests; a module of its own, so that other processes can import it."""

from __future__ import annotations

import torch
from torch import nn

import featx

TINY = featx.Preprocess(size=32, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


class TinyNet(nn.Module):
    """Two convolutions and a classifier: an 8-number feature."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(8, classes)

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.conv2(x))
        return self.classifier(self.pool(x).flatten(1))


class Detour(nn.Module):
    """A network with a node that its forward pass never reaches."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.used(x)


class Unconvertible(nn.Module):
    """A network that leaves torch in the middle: a tracer would keep what its own example gave."""

    def forward(self, x):
        return torch.from_numpy(x.numpy().mean((2, 3)))


class Overflowing(nn.Module):
    """A network whose numbers are infinite for an image that is white throughout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, x):
        return torch.sigmoid(self.conv(x)).mean((2, 3)) / torch.relu(1.9 - x.amin((1, 2, 3)))[:, None]


class Narrow(nn.Module):
    """A network whose numbers are infinite in less than float32, as float16's are above 65,504 (which needs CUDA)."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, x):
        x = torch.sigmoid(self.conv(x)).mean((2, 3))
        return x if x.dtype == torch.float32 else x / 0


class Broken(nn.Module):
    """A network whose numbers are NaN, as a broken normalisation leaves them."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_var.fill_(-1)

    def forward(self, x):
        return self.norm(x).mean((2, 3))


def make_tiny(seed: int = 0) -> TinyNet:
    """The network with weights, and statistics of its normalisation, drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TinyNet()
        network.norm1.running_mean.normal_()
        network.norm1.running_var.uniform_(0.5, 2)
    return network


def wrap(network: nn.Module) -> featx.Encoder:
    """An encoder of a network with weights drawn from a seed of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.1)
    return featx.Encoder.from_module(network, preprocess=TINY)


def tiny_encoder(seed: int = 0) -> featx.Encoder:
    return featx.Encoder.from_module(make_tiny(seed), preprocess=TINY, name=f"tiny{seed}")
