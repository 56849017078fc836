"""The multiply-add layers of an ONNX graph: their names, their outputs, their cost.

**Source:** ONNX operator specifications up to opset 26. A layer is named after its node. Its
output is read behind everything that a clean-up may fold into it or a quantiser may take out
(batch normalisation, constant bias and scale, clipping, quantise/dequantise pairs), so that
the same name means the same values before and after.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hasten.forms._onnx_graph import (
    ATTENTIONS,
    CELLS,
    CONVOLUTIONS,
    LAYERS,
    Wiring,
    constant,
    graphs,
)
from hasten.types import BATCH

FLOATS = frozenset({1, 10, 11, 16})  # FLOAT, FLOAT16, DOUBLE, BFLOAT16
_WEIGHTS = FLOATS | {2, 3, 21, 22}  # UINT8, INT8, UINT4, INT4
_SMALL = 1024
"""Tensors with more elements are weights: shape inference does not need their values."""


def layer_name(node: Any) -> str:
    """The node's name without what ONNX Runtime's dynamic quantiser appends."""
    return re.sub(r"(_MatMul)?_quant$", "", node.name)


def layer_outputs(graph: Any) -> dict[str, str]:
    """The float tensor that each layer's output is read from, by layer name, in graph order."""
    wiring = Wiring(graph)
    found: dict[str, str] = {}
    for node in graph.node:
        given = [name for name in node.output if name]
        if node.op_type in LAYERS and node.name and given:
            integer = node.op_type in {"MatMulInteger", "ConvInteger"}
            found[layer_name(node)] = _end(given[0], wiring, integer)
    return found


def _end(name: str, wiring: Wiring, integer: bool) -> str:
    """The last tensor of the chain that belongs to the layer whose raw output is ``name``."""
    while (taker := wiring.only_taker(name)) is not None:
        if not _belongs(taker, name, wiring, integer):
            break
        name = taker.output[0]
    return name


_FOLLOWS = frozenset({"BatchNormalization", "Relu", "Clip", "Add", "Sub", "Mul", "Div"})
_ALWAYS_FOLLOWS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def _belongs(node: Any, name: str, wiring: Wiring, integer: bool) -> bool:
    """Whether ``node`` only scales, shifts, clips or rounds the layer's output.

    The integer products of dynamic quantisation are scaled by what was measured in the same
    call, so behind them a product with a computed scale belongs as well.
    """
    if node.op_type in _ALWAYS_FOLLOWS:
        return True
    if integer and node.op_type in {"Cast", "Mul"}:
        return True
    others = [other for other in node.input if other and other != name]
    return node.op_type in _FOLLOWS and all(other in wiring.fixed for other in others)


def parameters(graph: Any) -> int:
    """Numbers the model learned: floats and what was quantised, without scales, zero points and
    shapes."""
    return sum(math.prod(tensor.dims) for inner in graphs(graph) for tensor in _learned(inner))


def _learned(graph: Any) -> Iterator[Any]:
    """Stored tensors that are weights or biases."""
    quantisers = [node for node in graph.node if node.op_type in _ALWAYS_FOLLOWS]
    settings = {name for node in quantisers for name in node.input[1:3]}
    quantised = {node.input[0] for node in quantisers}
    for name, tensor in _stored(graph):
        if name in quantised or (name not in settings and tensor.data_type in _WEIGHTS):
            yield tensor


def _stored(graph: Any) -> Iterator[tuple[str, Any]]:
    """Initialisers and the tensors of ``Constant`` nodes, scalars of the latter left out."""
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        held = constant(node)
        if held is not None and held.dims:
            yield node.output[0], held


def multiply_adds(handle: Any) -> int:
    """Multiply-adds of one sample; 0 where a layer's shape is not known without an input."""
    shapes = _shapes_of_one_sample(handle)
    total = 0
    for node in handle.graph.node:
        if node.op_type in LAYERS:
            cost = _cost(node, shapes)
            if cost is None:
                return 0
            total += cost
    return total


def _cost(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Multiply-adds of one layer from the shapes of what it takes and gives."""
    given = [shapes.get(name) for name in node.input]
    output = next((shapes.get(name) for name in node.output if name), None)
    first, rest = given[0], given[1:]
    if first is None or output is None or not rest:
        return None
    if node.op_type in CELLS:
        weights = [math.prod(shape) for shape in rest[:2] if shape is not None]
        return first[0] * first[1] * sum(weights) if len(weights) == 2 else None
    if node.op_type in ATTENTIONS:
        return _attention_cost(first, rest[0])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(rest[0][1:]) if rest[0] else None
    if node.op_type in CONVOLUTIONS:
        kernel = rest[2] if node.op_type == "QLinearConv" else rest[0]
        return math.prod(output) * math.prod(kernel[1:]) if kernel else None
    if node.op_type == "Gemm":
        return math.prod(output) * (math.prod(first) // output[0]) if output[0] else 0
    return math.prod(output) * first[-1] if first else None


def _attention_cost(query: tuple[int, ...], other: tuple[int, ...] | None) -> int | None:
    """Scores and their product with the values; before them the projection of all three, where
    the operator takes its weights ``(features, 3 * hidden)`` instead of keys."""
    if other is None:
        return None
    if len(other) == 2:
        batch, length, _ = query
        return batch * length * (math.prod(other) + 2 * length * other[1] // 3)
    return 2 * math.prod(query) * other[-2]


def _shapes_of_one_sample(handle: Any) -> dict[str, tuple[int, ...]]:
    """Every shape that is known once the batch is 1."""
    from onnx import shape_inference

    proto = skeleton(handle)
    for tensor in proto.graph.input:
        for dim in tensor.type.tensor_type.shape.dim:
            if dim.dim_param == BATCH:
                dim.dim_value = 1
    for tensor in proto.graph.output:
        tensor.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    inferred = shape_inference.infer_shapes(proto, data_prop=True).graph
    found = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for tensor in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = tensor.type.tensor_type.shape.dim
        if tensor.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[tensor.name] = tuple(dim.dim_value for dim in dims)
    return found


def skeleton(handle: Any) -> Any:
    """A copy of the model without its weights' values: small, and enough to infer shapes."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(handle)
    for graph in graphs(copy.graph):
        held = (tensor for node in graph.node if (tensor := constant(node)) is not None)
        for tensor in (*graph.initializer, *held):
            if math.prod(tensor.dims) > _SMALL:
                for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data"):
                    tensor.ClearField(field)
    return copy
