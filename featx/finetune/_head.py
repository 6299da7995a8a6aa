"""The head of a network: a new one in the old one's place, and its weights from and to scikit-learn."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from featx.encoders import FEATURE
from featx.exceptions import ParameterError
from featx.finetune._order import Order

if TYPE_CHECKING:
    import torch

# Around a network that has no classifier of its own.
NETWORK, POOL, HEAD = "network", "pool", "head"


def replace_head(order: Order, n_outputs: int) -> tuple[torch.nn.Module, str]:
    """Give a network a linear head.

    Parameters
    ----------
    order : Order
        Its network is changed, or wrapped where it has no classifier.
    n_outputs : int

    Returns
    -------
    network : torch.nn.Module
    head : str
        The node that is the linear layer.

    Raises
    ------
    ParameterError
        If its feature is no vector; without a classifier it may be a map.
    """
    from torch import nn

    shape = order.shapes[FEATURE]
    linear = nn.utils.skip_init(nn.Linear, shape[0], n_outputs)
    draw_weights(linear, 0)
    if order.classifier is not None and len(shape) == 1:
        order.network.set_submodule(order.classifier, linear)
        return order.network.eval(), order.classifier
    if order.classifier is not None or len(shape) not in (1, 3):
        raise ParameterError(
            f"Got an encoder whose feature has shape {shape} an image. Expected a vector: wrap the network, without "
            "its classifier, with featx.Encoder.from_module."
        )
    pool = [] if len(shape) == 1 else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(OrderedDict({NETWORK: order.network, POOL: nn.Sequential(*pool), HEAD: linear})).eval(), HEAD


def own_network(network: torch.nn.Module) -> torch.nn.Module:
    """The encoder's network itself, without what `replace_head` wrapped it in: its weights keep their names."""
    names = [name for name, _ in network.named_children()]
    return network.get_submodule(NETWORK) if names == [NETWORK, POOL, HEAD] else network


def set_weights(linear: torch.nn.Linear, coef: np.ndarray, intercept: np.ndarray) -> None:
    """Start a head from a linear model; of two classes scikit-learn has one row.

    Parameters
    ----------
    linear : torch.nn.Linear
    coef : ndarray of shape (n_outputs, dim)
    intercept : ndarray of shape (n_outputs,)
    """
    import torch

    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.asarray(coef)))
        linear.bias.copy_(torch.from_numpy(np.asarray(intercept)))


def draw_weights(linear: torch.nn.Linear, seed: int) -> None:
    """Start a head at random, as torch does; the seed decides, and the process's random state stays."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    bound = linear.in_features**-0.5
    with torch.no_grad():
        for values in (linear.weight, linear.bias):
            values.uniform_(-bound, bound, generator=generator)


def keep_outputs(linear: torch.nn.Linear, n: int) -> None:
    """Drop all outputs but the first n."""
    from torch import nn

    linear.out_features = n
    linear.weight = nn.Parameter(linear.weight.detach()[:n].clone(), False)
    linear.bias = nn.Parameter(linear.bias.detach()[:n].clone(), False)
