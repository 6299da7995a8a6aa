"""Which layers are tuned, which stay frozen, and where the frozen ones end."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from featx.encoders import FEATURE
from featx.exceptions import ParameterError, UnknownNameError
from featx.finetune._order import Order

if TYPE_CHECKING:
    import torch

HEAD, LAST_BLOCK, ALL = "head", "last_block", "all"


@dataclass(frozen=True)
class Plan:
    """What becomes of each layer.

    Attributes
    ----------
    depths : dict of str to int
        The parameters that are tuned, without the head's, and how far from it their block is: 1 is the last.
    cuts : tuple of str
        Nodes at which the frozen part may end, the latest first; ``"feature"`` where all is frozen.
    """

    depths: dict[str, int]
    cuts: tuple[str, ...]


def make_plan(order: Order, unfreeze: str | int) -> Plan:
    """Decide which layers are tuned.

    Parameters
    ----------
    order : Order
    unfreeze : str or int
        ``"head"``, ``"last_block"``, a node, a number of blocks, or ``"all"``: that, and all that comes after it.

    Returns
    -------
    Plan

    Raises
    ------
    ParameterError
        If nothing would be tuned, or there are fewer blocks.
    UnknownNameError
        If there is no such node.
    """
    since = _since(order, unfreeze)
    end = order.begin(order.classifier) if order.classifier else max(order.ends.values()) + 1
    begins = {name: when for name, when in order.begin_of_parameters().items() if when < end}
    tuned = {name: when for name, when in begins.items() if when >= since}
    if unfreeze == HEAD:
        return Plan({}, (FEATURE,))
    if not tuned:
        raise ParameterError(
            f"Got unfreeze={unfreeze!r}, after which no layer has weights: nothing would be tuned. Expected an earlier "
            "node (featx.list_layers shows them), or 'head' to train the head alone."
        )
    starts = list(order.blocks.values())
    depths = {name: 1 + sum(start > when for start in starts) for name, when in tuned.items()}
    first = min(tuned.values())
    cuts = [name for name in order.shapes if name != FEATURE and order.ends[name] < first]
    return Plan(depths, tuple(reversed(cuts)) if len(tuned) < len(begins) else ())


def freeze(network: torch.nn.Module, depths: dict[str, int], head: str) -> None:
    """Leave gradients to what is tuned, and to the head."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in depths or name.startswith(f"{head}."))


def _since(order: Order, unfreeze: str | int) -> int:
    """When the first layer that is tuned begins."""
    if unfreeze == ALL:
        return 0
    if unfreeze == HEAD:
        return max(order.ends.values())
    if unfreeze == LAST_BLOCK:
        unfreeze = 1
    blocks = list(order.blocks.values())
    if isinstance(unfreeze, Integral) and not isinstance(unfreeze, bool):
        if not 0 < unfreeze <= len(blocks):
            raise ParameterError(
                f"Got unfreeze={unfreeze}; the network has {len(blocks)} blocks. Expected a number from 1 to that, or "
                "'head' to train the head alone."
            )
        return blocks[-unfreeze]
    if not isinstance(unfreeze, str) or not unfreeze:
        raise ParameterError(
            f"Got unfreeze={unfreeze!r}. Expected 'head', 'last_block', 'all', a node's name or a number of blocks."
        )
    nodes = [name for name in order.begins if name]
    if unfreeze not in nodes:
        raise UnknownNameError("layer", unfreeze, [HEAD, LAST_BLOCK, ALL, *nodes], "featx.list_layers() shows nodes.")
    return order.begins[unfreeze]
