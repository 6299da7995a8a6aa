"""Several networks that begin alike, as one: what they share is computed once. It imports torch, so import it late."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Affine(nn.Module):
    """A fixed linear map with an offset: unlike a Linear, it is no classifier whose input would be the embedding."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight, False)
        self.bias = nn.Parameter(bias, False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class Joined(nn.Module):
    """Networks side by side behind what they have in common; their outputs are concatenated."""

    def __init__(self, prefix: nn.Module, branches: Sequence[nn.Module]):
        super().__init__()
        self.prefix = prefix
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.prefix(x)
        return torch.cat([branch(x) for branch in self.branches], 1)
