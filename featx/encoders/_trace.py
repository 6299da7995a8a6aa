"""What passes through a network: one pass, without memory where the network allows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featx.encoders._network import first_tensor, has_channels_last, pool
from featx.encoders._spec import FEATURE, LOGITS
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch

# With more than one, a node whose first axis is not the images shows.
_IMAGES = 2


@dataclass(frozen=True)
class Visit:
    """What a node gave.

    Attributes
    ----------
    name : str
        The node, or ``"feature"`` or ``"logits"``.
    module : torch.nn.Module
    output : Tensor
    macs : int
        Multiply-accumulates for one image, from the network's beginning to the node's end.
    """

    name: str
    module: torch.nn.Module
    output: torch.Tensor
    macs: int

    @property
    def places(self) -> tuple[int, ...]:
        """(height, width) of a map, (tokens,), or () of a vector."""
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
    """One pass.

    Attributes
    ----------
    network : torch.nn.Module
    visits : dict of str to Visit
        Of the nodes that were reached and can be pooled, in the order in which they end: ``"feature"`` where the
        classifier begins, ``"logits"`` last.
    held : dict of str to int
        Multiply-accumulates inside a node, for one image.
    """

    network: torch.nn.Module
    visits: dict[str, Visit]
    held: dict[str, int]


def trace(build: Callable[[str], torch.nn.Module], classifier: str | None, size: int) -> Trace:
    """Run black images through a network, and note what each node gives and costs.

    Parameters
    ----------
    build : callable
        ``"meta"`` or ``"cpu"`` -> the network there.
    classifier : str or None
        The node whose input is the feature.
    size : int
        Side of the images.

    Raises
    ------
    ParameterError
        If the network cannot take such images.
    """
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
    """Count multiply-accumulates, those of attention too: its fused kernels would hide them."""
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
    """Hooks on every node, for the length of a with block."""

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
