"""An encoder made ready to be tuned: a new head, the frozen layers frozen, and cut where they end."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featx.encoders import FEATURE, EncoderSpec
from featx.finetune._head import NETWORK, replace_head
from featx.finetune._order import order_of
from featx.finetune._plan import freeze, make_plan
from featx.finetune._suffix import cut, whole

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("featx")
_FLOAT = 4


@dataclass(frozen=True)
class Tunable:
    """What is trained.

    Attributes
    ----------
    network : torch.nn.Module
        From normalised images to the head's output.
    head : torch.nn.Linear
    module : torch.nn.Module
        What an epoch computes: the network, or its part after `node`, which shares its weights.
    node : str or None
        The encoder's layer that the module begins after; None: it begins with the image.
    shape : tuple of int
        What that node gives for one image.
    depths : dict of str to int
        The module's parameters that are tuned, and how many blocks they are from the end; the head's are 0.
    """

    network: torch.nn.Module
    head: torch.nn.Linear
    module: torch.nn.Module
    node: str | None
    shape: tuple[int, ...]
    depths: dict[str, int]


def make_tunable(spec: EncoderSpec, n_outputs: int, unfreeze: str | int, *, room: float = math.inf) -> Tunable:
    """Build an encoder's network with a head of its own.

    Parameters
    ----------
    spec : EncoderSpec
    n_outputs : int
    unfreeze : str or int
        As of `make_plan`.
    room : float, default=inf
        Bytes that one image's activations may take. The network is cut where they fit, so that what is frozen is
        computed once for each image and not once an epoch; 0 cuts nowhere.

    Returns
    -------
    Tunable

    Raises
    ------
    ParameterError
        If nothing would be tuned, or the network cannot get a head.
    """
    order = order_of(spec)
    plan = make_plan(order, unfreeze)
    network, head = replace_head(order, n_outputs)
    prefix = "" if order.classifier else f"{NETWORK}."
    depths = {f"{prefix}{name}": depth for name, depth in plan.depths.items()}
    freeze(network, depths, head)
    cuts = {f"{prefix}{node}" if node != FEATURE else node: order.shape(node) for node in plan.cuts if room}
    nodes = [node for node, shape in cuts.items() if _FLOAT * math.prod(shape) <= room]
    suffix, node = cut(network, head, nodes) or (whole(network, head, spec.preprocess.size), None)
    if cuts and node is None:
        why = (
            "cannot be cut" if nodes else f"gives activations of more than {room:,.0f} bytes an image, too many to hold"
        )
        logger.info("%s %s: its frozen layers are computed in each epoch", spec.name, why)
    named = {parameter: name for name, parameter in network.named_parameters()}
    own = {name: named[parameter] for name, parameter in suffix.named_parameters() if parameter.requires_grad}
    return Tunable(
        network=network,
        head=network.get_submodule(head),
        module=suffix,
        node=node and node.removeprefix(prefix),
        shape=cuts[node] if node else (),
        depths={name: depths.get(full, 0) for name, full in own.items()},
    )
