"""An encoder and its tuned self as one network that ends in projections; and how another process makes it again."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from featx._image_encoder import ImageEncoder, extraction_of
from featx.encoders import Encoder
from featx.exceptions import WeightsError
from featx.finetune._layers import ExecutionOrder, execution_order, make_plan
from featx.finetune._tunable import cut, keep_before, network_node, replace_head

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Linear:
    """A linear map of embeddings.

    Attributes
    ----------
    weight : ndarray of shape (n_outputs, dim)
        What embeddings are multiplied by.
    bias : ndarray of shape (n_outputs,)
        What is added.
    """

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        return embeddings @ self.weight.T + self.bias


@dataclass(frozen=True)
class JoinedRecipe:
    """What a tuned network differs in from the encoder that it was, and what is made of the embeddings of both.

    Attributes
    ----------
    encoder : ImageEncoder
        The encoder that was tuned.
    unfreeze : str or int
        Where tuning began.
    tuned : dict of str to ndarray
        The tensors of the network that tuning changed.
    outputs : Linear
        The map of the tuned network's embedding.
    reduction : Linear
        The map of the frozen network's embedding.
    """

    encoder: ImageEncoder
    unfreeze: str | int
    tuned: Mapping[str, np.ndarray]
    outputs: Linear
    reduction: Linear

    def build(self) -> torch.nn.Module:
        """Build the network, in eval mode and frozen."""
        from torch.nn import Identity

        from featx.finetune._joined_network import Joined

        order = execution_order(extraction_of(self.encoder).spec)
        branches = []
        for tuned, projection in ((self.tuned, self.outputs), ({}, self.reduction)):
            if len(projection.bias):
                branches.append(self._branch(replace(order, network=deepcopy(order.network)), tuned, projection))
        suffixes = [found for branch in branches if (found := cut(*branch))]
        if len(suffixes) == len(branches):
            network, head, _ = branches[-1]
            joined = Joined(keep_before(network, head, suffixes[0][1]), [suffix for suffix, _ in suffixes])
        else:  # such as a network that cannot be traced
            joined = Joined(Identity(), [network for network, _, _ in branches])
        return joined.requires_grad_(False).eval()

    def __str__(self) -> str:
        return f"{self.encoder.encoder!r}, tuned"

    def _branch(
        self, order: ExecutionOrder, tuned: Mapping[str, np.ndarray], projection: Linear
    ) -> tuple[torch.nn.Module, str, list[str]]:
        """Give the network a projection as its head; return it, its head, and where it may be cut."""
        import torch

        from featx.finetune._joined_network import Affine

        plan = make_plan(order, self.unfreeze)
        state = {name: torch.from_numpy(values) for name, values in tuned.items()}
        unknown = order.network.load_state_dict(state, strict=False).unexpected_keys
        if unknown:
            raise WeightsError(
                f"{self.encoder.encoder!r} has no tensor {unknown[0]!r}: it is not the one that was tuned."
            )
        network, head = replace_head(order, 1)
        weight, bias = (torch.from_numpy(values.astype(np.float32)) for values in (projection.weight, projection.bias))
        network.set_submodule(head, Affine(weight, bias))
        return network, head, [network_node(order, node) for node in plan.cuts]


def changed_tensors(encoder: ImageEncoder, tuned: Encoder) -> dict[str, np.ndarray]:
    """Return the tensors of a tuned encoder that are not the encoder's own, without its head's."""
    spec = extraction_of(encoder).spec
    assert spec.build is not None  # a graph in a file cannot be tuned
    before = spec.build().state_dict()
    head = f"{spec.classifier}."
    return {
        name: values.numpy()
        for name, values in tuned.module.state_dict().items()
        if not (spec.classifier and name.startswith(head)) and not (name in before and values.equal(before[name]))
    }
