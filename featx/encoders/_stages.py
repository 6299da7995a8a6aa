"""Which nodes of a network are worth naming, and which of them are early, middle, late and last."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from featx.encoders._spec import FEATURE, STAGES
from featx.encoders._trace import Trace, Visit

if TYPE_CHECKING:
    import torch

# A module that holds so much of the network is the network's own wrapping.
_WHOLE = 0.9


def list_nodes(passed: Trace) -> list[Visit]:
    """The nodes between blocks, in the order in which they end, from the first to the classifier's input.

    Those met on a way down from the network into sequences of nodes, and into whatever holds nearly all of the
    network. A sequence in which one node alone multiplies (convolution, norm, activation) is one node; of a sequence
    and its last node, which give the same, the sequence is named.
    """
    held = {name: _held(name, module, passed) for name, module in passed.network.named_modules()}
    met = set(_meet(passed.network, "", held))
    end = list(passed.visits).index(FEATURE) if FEATURE in passed.visits else None
    nodes: list[Visit] = []
    for visit in list(passed.visits.values())[:end]:
        if visit.name not in met or _passes(visit.module):
            continue
        if nodes and nodes[-1].name.startswith(f"{visit.name}.") and nodes[-1].output is visit.output:
            if _is_whole(visit.name, held):
                continue
            nodes.pop()
        nodes.append(visit)
    return nodes


def find_stages(nodes: Sequence[Visit], size: int) -> tuple[str, ...]:
    """The nodes that the portable names stand for, of increasing depth.

    The ends of the last four stages of a network that halves its resolution so often; else the nodes nearest to a
    quarter, a half, three quarters and all of what the network computes.

    Parameters
    ----------
    nodes : sequence of Visit
        As of `list_nodes`.
    size : int
        Side of the image.

    Returns
    -------
    tuple of four str
        Neighbours may be the same; empty where there is no node.
    """
    trunk = list(_trunk(nodes)) or list(nodes)
    trunk = [node for node in trunk if node.macs] or trunk  # nothing is seen before something is computed
    if not trunk:
        return ()
    ends: list[Visit] = []
    for _, run in groupby(trunk, key=lambda node: halvings(node, size)):
        last = list(run)[-1]
        if ends and last.macs == ends[-1].macs:  # a pooling alone ends the stage before
            ends.pop()
        ends.append(last)
    if len(ends) < len(STAGES):
        ends = [_nearest(trunk, (i + 1) / len(STAGES)) for i in range(len(STAGES))]
    return tuple(node.name for node in ends[-len(STAGES) :])


def name_stages(passed: Trace, size: int) -> dict[str, str]:
    """What each portable name stands for; a node that really is called so keeps its name. Empty without nodes."""
    nodes = dict(passed.network.named_modules())
    found = find_stages(list_nodes(passed), size)
    return {stage: stage if stage in nodes else node for stage, node in zip(STAGES, found, strict=bool(found))}


def halvings(node: Visit, size: int) -> int:
    """How often the side of the image was halved, rounded; tokens count as a square map."""
    return round(math.log2(size / math.sqrt(math.prod(node.places))))


def _held(name: str, module: torch.nn.Module, passed: Trace) -> int:
    """Multiply-accumulates inside a node; one that was never called itself has its children's."""
    if name in passed.held:
        return passed.held[name]
    return sum(_held(f"{name}.{child}", node, passed) for child, node in module.named_children())


def _meet(module: torch.nn.Module, name: str, held: dict[str, int]) -> Iterator[str]:
    from torch import nn

    for child, node in module.named_children():
        path = f"{name}.{child}" if name else child
        if path not in held:  # the same module, named before
            continue
        yield path
        inner = [held.get(f"{path}.{grandchild}", 0) for grandchild, _ in node.named_children()]
        is_sequence = isinstance(node, nn.ModuleList) or (isinstance(node, nn.Sequential) and sum(map(bool, inner)) > 1)
        if is_sequence or _is_whole(path, held):
            yield from _meet(node, path, held)


def _is_whole(name: str, held: dict[str, int]) -> bool:
    return held[name] >= _WHOLE * held[""]


def _passes(module: torch.nn.Module) -> bool:
    """Whether a node does nothing outside of training."""
    from torch import nn

    return isinstance(module, nn.Identity | nn.modules.dropout._DropoutNd)


def _trunk(nodes: Sequence[Visit]) -> Iterator[Visit]:
    """The nodes before the classifier's pooling."""
    from torch import nn

    pools, macs = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), 0
    for node in nodes:
        pooled = math.prod(node.places) == 1 and node.macs == macs
        if not node.places or pooled or isinstance(node.module, pools):
            return
        macs = node.macs
        yield node


def _nearest(nodes: Sequence[Visit], share: float) -> Visit:
    """The last of the nodes that are nearest to a share of the multiply-accumulates."""
    target = share * nodes[-1].macs
    return min(reversed(nodes), key=lambda node: abs(node.macs - target))
