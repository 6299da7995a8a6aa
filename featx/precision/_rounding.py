"""Int8 weights rounded together, so that their errors cancel on the user's images (GPTQ)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx._process import no_telemetry

_IMAGES = 100
_PER_IMAGE = 16  # places of a layer's input
_DAMPING = 0.01  # of the mean square of an input, as in the paper
_BLOCK = 64  # columns whose errors are passed on together: one matrix product
_LAYERS = ("Convolution", "GroupConvolution", "MatMul")


def round_together(quantized: Any, graph: Any, feeds: Sequence[np.ndarray]) -> None:
    """Round the weights of a quantized graph again, each in view of the errors of those before.

    The nearest integer is the best for a weight alone, not for a sum. Each column of a layer's weights is rounded in
    turn, and the columns that follow are moved so as to cancel its error on the layer's inputs (Frantar et al. 2022,
    GPTQ, arXiv:2210.17323). What remains of the mean goes into the bias. The grids of weights and activations stay.

    Parameters
    ----------
    quantized : openvino.Model
        What NNCF makes of `graph` without correcting biases; it is changed.
    graph : openvino.Model
        The graph in float32.
    feeds : sequence of ndarray
        Inputs of the graph, of which up to 100 are used.
    """
    exact = _fold(graph)
    wanted = {op.get_friendly_name(): op for op in _layers(exact)}
    pairs = [(op, wanted[op.get_friendly_name()]) for op in _layers(quantized) if op.get_friendly_name() in wanted]
    layers = [layer for layer in (_Layer.read(op, original) for op, original in pairs) if layer is not None]
    for layer, rows in zip(layers, _sample(exact, layers, feeds[:: -(-len(feeds) // _IMAGES)]), strict=True):
        layer.round(rows)
    quantized.validate_nodes_and_infer_types()


def round_weights(weights: np.ndarray, scale: np.ndarray, rows: np.ndarray, low: int, high: int) -> np.ndarray:
    """Round weights to integers, such that the sums over inputs change little.

    Parameters
    ----------
    weights : ndarray of shape (n_groups, n_outputs, n_inputs)
        Weights of each group of channels.
    scale : ndarray of shape (n_groups, n_outputs)
        What an integer of one stands for.
    rows : ndarray of shape (n, n_groups, n_inputs)
        Inputs.
    low, high : int
        The least and the greatest integer.

    Returns
    -------
    ndarray of float64, shape (n_groups, n_outputs, n_inputs)
        Integers; times the scale they stand for the weights.
    """
    left = weights.astype(np.float64)
    n_inputs = left.shape[2]
    rounded = np.empty_like(left)
    upper = _factor(rows)
    for start in range(0, n_inputs, _BLOCK):
        stop = min(start + _BLOCK, n_inputs)
        errors = np.empty((*left.shape[:2], stop - start))
        for i in range(start, stop):
            rounded[:, :, i] = np.clip(np.round(left[:, :, i] / scale), low, high)
            error = (left[:, :, i] - rounded[:, :, i] * scale) / upper[:, i, i, None]
            left[:, :, i + 1 : stop] -= error[:, :, None] * upper[:, None, i, i + 1 : stop]
            errors[:, :, i - start] = error
        left[:, :, stop:] -= errors @ upper[:, start:stop, stop:]
    return rounded


def _factor(rows: np.ndarray) -> np.ndarray:
    """Compute the upper Cholesky factor of the inverse of the inputs' second moments, damped; one of each group."""
    rows = rows.transpose(1, 0, 2).astype(np.float64)
    moments = rows.transpose(0, 2, 1) @ rows / rows.shape[1]
    diagonal = np.einsum("gii->gi", moments)  # a view
    diagonal += _DAMPING * diagonal.mean(axis=1, keepdims=True) + 1e-12
    return np.linalg.cholesky(np.linalg.inv(moments)).transpose(0, 2, 1)


@dataclass
class _Layer:
    """A layer of a quantized graph with integers for weights, and the layer of the exact graph that it stands for."""

    op: Any
    source: Any  # the exact layer's input
    integers: Any  # the node with the constant
    weights: np.ndarray
    scale: np.ndarray
    window: _Window | None  # None: a matrix product

    @classmethod
    def read(cls, op: Any, original: Any) -> _Layer | None:
        """Find the parts of a layer; None for one of another kind, whose weights stay as they are."""
        multiply = op.input_value(1).get_node()
        weights = original.input_value(1).get_node()
        if multiply.get_type_name() != "Multiply" or weights.get_type_name() != "Constant":
            return None
        convert, scale = multiply.input_value(0).get_node(), multiply.input_value(1).get_node()
        if convert.get_type_name() != "Convert" or scale.get_type_name() != "Constant":
            return None
        integers = convert.input_value(0).get_node()
        if integers.get_type_name() != "Constant" or integers.data.shape != weights.data.shape:
            return None
        window, attributes = None, original.get_attributes()
        if original.get_type_name() != "MatMul":
            if len(original.input(0).get_partial_shape()) != 4 or attributes["auto_pad"] != "explicit":
                return None
            window = _Window.read(original)
        elif attributes["transpose_a"] or not attributes["transpose_b"] or weights.data.ndim != 2:
            return None
        return cls(op, original.input_value(0), convert.input(0), weights.data, scale.data, window)

    def rows_of(self, maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw inputs of the sums that the layer computes, (n, n_groups, n_inputs), from its input."""
        if self.window is not None:
            return self.window.draw(maps, rng)
        rows = maps.reshape(-1, maps.shape[-1])
        return rows[rng.integers(0, len(rows), _PER_IMAGE)][:, None]

    def round(self, rows: np.ndarray) -> None:
        """Replace the integers, and add to the bias what the exact weights give more in the mean."""
        from openvino import opset13

        before = self.integers.get_source_output().get_node().data
        n_groups = rows.shape[1]
        weights = self.weights.reshape(n_groups, -1, rows.shape[2])
        scale = np.broadcast_to(self.scale, before.shape).reshape(weights.shape)[:, :, 0]
        rounded = round_weights(weights, scale, rows, before.min(), before.max())
        change = weights - rounded * scale[:, :, None]
        self.integers.replace_source_output(
            opset13.constant(rounded.reshape(before.shape).astype(before.dtype)).output(0)
        )
        shift = np.einsum("gi,goi->go", rows.mean(axis=0), change).ravel().astype(np.float32)
        self._add(shift if self.window is None else shift[:, None, None])

    def _add(self, shift: np.ndarray) -> None:
        """Add to the output: to the constant that is added already, or after the layer."""
        from openvino import opset13

        output = self.op.output(0)
        readers = list(output.get_target_inputs())
        if len(readers) == 1 and readers[0].get_node().get_type_name() == "Add":
            bias = readers[0].get_node().input(1 - readers[0].get_index())
            constant = bias.get_source_output().get_node()
            if constant.get_type_name() == "Constant" and constant.data.size == shift.size:
                moved = (constant.data + shift.reshape(constant.data.shape)).astype(np.float32)
                bias.replace_source_output(opset13.constant(moved).output(0))
                return
        added = opset13.add(output, opset13.constant(shift[None]))
        for reader in readers:
            reader.replace_source_output(added.output(0))


@dataclass
class _Window:
    """The places and the reach of a convolution in two dimensions."""

    n_groups: int
    size: tuple[int, int]
    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[tuple[int, int]]

    @classmethod
    def read(cls, op: Any) -> _Window:
        attributes, shape = op.get_attributes(), list(op.input(1).get_shape())
        return cls(
            shape[0] if op.get_type_name() == "GroupConvolution" else 1,
            (shape[-2], shape[-1]),
            attributes["strides"],
            attributes["dilations"],
            list(zip(attributes["pads_begin"], attributes["pads_end"], strict=True)),
        )

    def draw(self, maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if np.any(self.pads):
            maps = np.pad(maps, ((0, 0), (0, 0), *self.pads))
        reach = [dilation * (size - 1) + 1 for dilation, size in zip(self.dilations, self.size, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(maps, reach, axis=(2, 3))
        windows = windows[:, :, :: self.strides[0], :: self.strides[1], :: self.dilations[0], :: self.dilations[1]]
        image, y, x = (rng.integers(0, windows.shape[axis], _PER_IMAGE) for axis in (0, 2, 3))
        return windows[image, :, y, x].reshape(_PER_IMAGE, self.n_groups, -1)


def _layers(graph: Any) -> Iterator[Any]:
    return (op for op in graph.get_ordered_ops() if op.get_type_name() in _LAYERS)


def _fold(graph: Any) -> Any:
    """Copy a graph, with weights that are computed from constants as constants."""
    with no_telemetry():
        from openvino import passes
    copy = graph.clone()
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(copy)
    return copy


def _sample(exact: Any, layers: Sequence[_Layer], feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run the exact graph, and draw inputs of each layer: float32 (n, n_groups, n_inputs)."""
    import openvino
    from openvino import opset13

    outputs = [opset13.result(layer.source) for layer in layers]
    watched = openvino.Model(outputs, exact.get_parameters(), "inputs of layers")
    request = openvino.Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    rng = np.random.default_rng(0)
    drawn: list[list[np.ndarray]] = [[] for _ in layers]
    for feed in feeds:
        request.infer([feed])
        for i, layer in enumerate(layers):
            drawn[i].append(layer.rows_of(request.get_output_tensor(i).data, rng))
    return [np.concatenate(rows) for rows in drawn]
