"""Networks of timm that classify by several heads at once; imports torch."""

from __future__ import annotations

import torch
from torch import nn

CLASSIFIER = "classifier"


class SeveralHeads(nn.Module):
    """A network whose feature is not the input of a single head: two branches, a distillation token, a head per stage.

    Its feature as timm defines it, the parts side by side or their mean, passes the node ``classifier``, which may be
    replaced; until then the network's own heads give the output.

    Parameters
    ----------
    network : torch.nn.Module
        A network of timm.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.classifier = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.network.forward_features(x)
        output = self.classifier(self.network.forward_head(parts, pre_logits=True))
        return self.network.forward_head(parts) if isinstance(self.classifier, nn.Identity) else output


def join_heads(network: nn.Module) -> nn.Module:
    """Wrap a network of timm with several heads as a `SeveralHeads`; return any other as it is."""
    if type(network).__module__.partition(".")[0] != "timm" or not hasattr(network, "get_classifier"):
        return network
    heads = network.get_classifier()
    return SeveralHeads(network) if isinstance(heads, tuple | list | nn.ModuleList) else network


def rename(key: str) -> str:
    """Turn the key of a tensor of timm's network into that of its `SeveralHeads`."""
    return f"network.{key}"
