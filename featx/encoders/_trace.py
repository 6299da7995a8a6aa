"""One pass through a network: what each node gives and costs, and which nodes are worth naming.

The pass needs no memory where the network allows it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from featx._process import make_torch_fork_safe
from featx.encoders._network import first_tensor, has_channels_last, pool
from featx.encoders._spec import FEATURE, LOGITS, STAGES
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch

# More than one, to recognize a node whose first axis is not the images.
_IMAGES = 2
# A module that holds so much of the network only wraps it.
_WHOLE = 0.9


@dataclass(frozen=True)
class Visit:
    """What a node returned.

    Attributes
    ----------
    name : str
        The node, or ``"feature"`` or ``"logits"``.
    module : torch.nn.Module
        The node itself.
    output : Tensor
        Its output.
    macs : int
        Multiply-accumulates for one image, from the network's beginning to the node's end.
    """

    name: str
    module: torch.nn.Module
    output: torch.Tensor
    macs: int

    @property
    def places(self) -> tuple[int, ...]:
        """Shape without images and channels: (height, width) of a map, (tokens,), or () of a vector."""
        shape = tuple(self.output.shape)
        if len(shape) == 4:
            return shape[1:3] if has_channels_last(self.output) else shape[2:]
        return shape[1:-1]

    @property
    def dim(self) -> int:
        """Length of the average-pooled embedding."""
        return pool(self.output, "avg").shape[1]


@dataclass(frozen=True)
class Trace:
    """One pass through a network.

    Attributes
    ----------
    network : torch.nn.Module
        The network, perhaps without memory.
    visits : dict of str to Visit
        The nodes that were reached and can be pooled, in the order in which they end: ``"feature"`` where the
        classifier begins, ``"logits"`` last.
    held : dict of str to int
        Multiply-accumulates inside a node, for one image.
    """

    network: torch.nn.Module
    visits: dict[str, Visit]
    held: dict[str, int]


def trace(build: Callable[[str], torch.nn.Module], classifier: str | None, size: int) -> Trace:
    """Run black images through a network, and note what each node returns and costs.

    Parameters
    ----------
    build : callable
        Takes ``"meta"`` or ``"cpu"`` and returns the network on that device.
    classifier : str or None
        The node whose input is the feature.
    size : int
        Side of the images.

    Returns
    -------
    Trace
        What was noted.

    Raises
    ------
    ParameterError
        If the network cannot take such images.
    """
    make_torch_fork_safe()
    # Some networks compute with values while they run, which only a real device has.
    with suppress(Exception):
        return _run(build("meta").eval(), classifier, size, "meta")
    try:
        return _run(build("cpu").eval(), classifier, size, "cpu")
    except Exception as error:
        raise ParameterError(f"The network cannot take images of {size} x {size} x 3: {error}.") from error


def _run(network: torch.nn.Module, classifier: str | None, size: int, device: str) -> Trace:
    import torch

    network.requires_grad_(False)  # torch counts nothing in a node that gets a parameter as its input (PiT)
    with torch.no_grad(), _counting() as macs, _Watch(network, classifier, macs) as watch:
        # Tensors that the network makes while it runs belong there too.
        with torch.device("meta") if device == "meta" else nullcontext():
            network(torch.zeros(_IMAGES, 3, size, size, device=device))
        return Trace(network, watch.visits, dict(watch.held))


@contextmanager
def _counting() -> Iterator[Callable[[], int]]:
    """Count multiply-accumulates, also those of attention, which its fused kernels would hide."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            yield lambda: counter.get_total_flops() // (2 * _IMAGES)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Watch:
    """Hooks on every node, for the duration of a with block."""

    def __init__(self, network: torch.nn.Module, classifier: str | None, macs: Callable[[], int]):
        self.visits: dict[str, Visit] = {}
        self.held: defaultdict[str, int] = defaultdict(int)
        self._network = network
        self._classifier = classifier
        self._macs = macs
        self._began: dict[str, int] = {}

    def __enter__(self) -> _Watch:
        self._hooks = []
        for name, module in self._network.named_modules():
            self._hooks.append(
                module.register_forward_pre_hook(lambda node, inputs, n=name: self._begin(n, node, inputs))
            )
            self._hooks.append(module.register_forward_hook(lambda node, _, output, n=name: self._end(n, node, output)))
        return self

    def __exit__(self, *_error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _begin(self, name: str, module: torch.nn.Module, inputs: tuple) -> None:
        if name and name == self._classifier:
            self._note(FEATURE, module, inputs)
        self._began[name] = self._macs()

    def _end(self, name: str, module: torch.nn.Module, output: Any) -> None:
        self.held[name] += self._macs() - self._began[name]
        if name:
            self._note(name, module, output)
            return
        if self._classifier is None:
            self._note(FEATURE, module, output)
        self._note(LOGITS, module, output)

    def _note(self, name: str, module: torch.nn.Module, output: Any) -> None:
        with suppress(ParameterError):  # not a tensor that can be pooled
            tensor = first_tensor(output, name)
            if len(tensor) == _IMAGES:
                self.visits.pop(name, None)  # of several visits the last counts
                self.visits[name] = Visit(name, module, tensor, self._macs())


def list_nodes(passed: Trace) -> list[Visit]:
    """List the nodes between blocks, in the order in which they end, from the first to the classifier's input.

    They are found by descending from the network into sequences of nodes, and into whatever holds nearly all of the
    network. A sequence in which only one node multiplies (convolution, norm, activation) is one node; of a sequence
    and its last node, which return the same, the sequence is listed.
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
    """Find the nodes that the portable names stand for, of increasing depth.

    They are the ends of the last four stages of a network that halves its resolution that often; otherwise the nodes
    nearest to a quarter, a half, three quarters and all of the multiply-accumulates.

    Parameters
    ----------
    nodes : sequence of Visit
        What `list_nodes` returns.
    size : int
        Side of the image.

    Returns
    -------
    tuple of four str
        Neighbors may be the same node; the tuple is empty where there are no nodes.
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
    """Map each portable name to its node; a node that really has that name keeps it. Empty without nodes."""
    nodes = dict(passed.network.named_modules())
    found = find_stages(list_nodes(passed), size)
    return {stage: stage if stage in nodes else node for stage, node in zip(STAGES, found, strict=bool(found))}


def halvings(node: Visit, size: int) -> int:
    """Return how often the side of the image was halved, rounded; tokens count as a square map."""
    return round(math.log2(size / math.sqrt(math.prod(node.places))))


def _held(name: str, module: torch.nn.Module, passed: Trace) -> int:
    """Count the multiply-accumulates inside a node; one that was never called itself has its children's."""
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
    """Return whether a node does nothing outside of training."""
    from torch import nn

    return isinstance(module, nn.Identity | nn.modules.dropout._DropoutNd)


def _trunk(nodes: Sequence[Visit]) -> Iterator[Visit]:
    """Yield the nodes before the classifier's pooling."""
    from torch import nn

    pools, macs = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), 0
    for node in nodes:
        pooled = math.prod(node.places) == 1 and node.macs == macs
        if not node.places or pooled or isinstance(node.module, pools):
            return
        macs = node.macs
        yield node


def _nearest(nodes: Sequence[Visit], share: float) -> Visit:
    """Find the last of the nodes that are nearest to a share of the multiply-accumulates."""
    target = share * nodes[-1].macs
    return min(reversed(nodes), key=lambda node: abs(node.macs - target))
