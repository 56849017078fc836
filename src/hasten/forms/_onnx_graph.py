"""Reading ONNX graphs: who makes and who takes each tensor, and what kind of model it is.

**Source:** ONNX IR and operator specifications up to opset 26, and ONNX Runtime's contrib
operators (domain ``com.microsoft``). Nothing here changes a graph or needs the weights' values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

CONVOLUTIONS = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "FusedConv", "NhwcFusedConv"}
)
PRODUCTS = frozenset(
    {"Gemm", "MatMul", "FusedGemm", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "QGemm"}
)
CELLS = frozenset({"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"})
ATTENTIONS = frozenset({"Attention", "MultiHeadAttention", "GroupQueryAttention", "QAttention"})
LAYERS = CONVOLUTIONS | PRODUCTS | CELLS | ATTENTIONS
"""Operators that multiply and add: the layers of a model."""

_LOOPS = frozenset({"Loop", "Scan"})
_QUANTISED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "MatMulNBits",
        "QGemm",
        "QAttention",
    }
)
_BETWEEN_PRODUCT_AND_SOFTMAX = frozenset(
    [
        "Add",
        "Cast",
        "Clip",
        "Div",
        "DequantizeLinear",
        "Dropout",
        "Expand",
        "Identity",
        "Max",
        "Min",
        "Mul",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)


def nodes(graph: Any) -> Iterator[Any]:
    """Every node of ``graph``, those of its subgraphs (``If``, ``Loop``, ``Scan``) included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)
            for body in attribute.graphs:
                yield from nodes(body)


def graphs(graph: Any) -> Iterator[Any]:
    """``graph`` and all its subgraphs."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)
            for body in attribute.graphs:
                yield from graphs(body)


def constant(node: Any) -> Any | None:
    """The tensor that a ``Constant`` node holds, if it holds one."""
    if node.op_type == "Constant":
        for attribute in node.attribute:
            if attribute.name == "value":
                return attribute.t
    return None


class Wiring:
    """Makers and takers of every tensor of a graph, subgraphs included.

    Tensor names are unique over a graph and its subgraphs (ONNX is in single-assignment form),
    so one table serves all of them.
    """

    def __init__(self, graph: Any) -> None:
        self.makers: dict[str, Any] = {}
        self.takers: dict[str, list[Any]] = {}
        self.tensors: dict[str, Any] = {}
        self.ends = {tensor.name for inner in graphs(graph) for tensor in inner.output}
        for inner in graphs(graph):
            self.tensors.update((tensor.name, tensor) for tensor in inner.initializer)
        for node in nodes(graph):
            self._add(node)
        self.fixed = self._fixed(graph)

    def _add(self, node: Any) -> None:
        for name in node.input:
            self.takers.setdefault(name, []).append(node)
        for name in node.output:
            self.makers[name] = node
        held = constant(node)
        if held is not None:
            self.tensors[node.output[0]] = held

    def _fixed(self, graph: Any) -> set[str]:
        """Names of tensors that do not depend on the model's inputs."""
        fixed = set(self.tensors)
        for node in nodes(graph):
            inner = any(attribute.HasField("g") for attribute in node.attribute)
            drawn = node.op_type.startswith(("Random", "Multinomial", "Bernoulli"))
            if not inner and not drawn and all(not i or i in fixed for i in node.input):
                fixed.update(node.output)
        return fixed

    def only_taker(self, name: str) -> Any | None:
        """The node that alone takes ``name``, if nothing else does and it is no output."""
        takers = self.takers.get(name, [])
        return takers[0] if len(takers) == 1 and name not in self.ends else None

    def held(self, name: str) -> Any | None:
        """The stored tensor that ``name`` is, or is made from without changing its shape."""
        while name not in self.tensors:
            maker = self.makers.get(name)
            same = {"Identity", "Cast", "DequantizeLinear", "QuantizeLinear"}
            if maker is None or maker.op_type not in same:
                return None
            name = maker.input[0]
        return self.tensors[name]


def traits(graph: Any) -> frozenset[str]:
    """What kind of model it is; see ``Form.traits``."""
    found = list(nodes(graph))
    ops = {node.op_type for node in found}
    wiring = Wiring(graph)
    facts = {
        "convolution": bool(ops & CONVOLUTIONS),
        "recurrent": bool(ops & (CELLS | _LOOPS)),
        "control-flow": bool(ops & ({"If"} | _LOOPS)),
        "quantized": bool(ops & _QUANTISED) or any(op.startswith("QLinear") for op in ops),
        "attention": bool(ops & ATTENTIONS)
        or any(_attends(node, wiring) for node in found if node.op_type == "Softmax"),
        "constant-weights": any(
            _is_constant(name, wiring)
            for node in found
            if node.op_type in LAYERS
            for name in node.input[1:3]
        ),
    }
    return frozenset(name for name, true in facts.items() if true)


def _is_constant(name: str, wiring: Wiring) -> bool:
    maker = wiring.makers.get(name)
    return maker is not None and maker.op_type == "Constant"


def _attends(softmax: Any, wiring: Wiring) -> bool:
    """Whether a softmax stands between two matrix products, as attention weights do."""
    return _meets_product(softmax.input[0], wiring, backwards=True) and _meets_product(
        softmax.output[0], wiring, backwards=False
    )


def _meets_product(name: str, wiring: Wiring, backwards: bool) -> bool:
    """Whether a path of shape changes and scalings leads from ``name`` to a matrix product."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        here = waiting.pop()
        if here in seen or here in wiring.fixed:
            continue
        seen.add(here)
        maker = wiring.makers.get(here)
        near = ([maker] if maker else []) if backwards else wiring.takers.get(here, [])
        for node in near:
            if node.op_type in PRODUCTS or node.op_type == "Einsum":
                return True
            if node.op_type in _BETWEEN_PRODUCT_AND_SOFTMAX:
                waiting.extend(node.input if backwards else node.output)
    return False


def bounds(graph: Any) -> dict[str, int]:
    """Rows of the smallest table that each integer input looks up; see ``Form.bounds``."""
    wiring = Wiring(graph)
    integers = {3, 5, 6, 7, 12, 13}  # INT8, INT16, INT32, INT64, UINT32, UINT64
    found = {}
    for tensor in graph.input:
        if tensor.type.tensor_type.elem_type in integers:
            limits = list(_limits(tensor.name, wiring))
            if limits:
                found[tensor.name] = min(limits)
    return found


_KEEPS_VALUES = frozenset(
    [
        "Cast",
        "Expand",
        "Flatten",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    ]
)


def _limits(name: str, wiring: Wiring) -> Iterator[int]:
    """Table sizes met on the way from an input, through nodes that keep the values."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        for node in wiring.takers.get(here, []):
            limit = _limit(node, here, wiring)
            if limit:
                yield limit
            elif node.op_type in _KEEPS_VALUES and node.input[0] == here:
                waiting.extend(node.output)


def _limit(node: Any, name: str, wiring: Wiring) -> int | None:
    """How many values ``node`` knows for its input ``name``, if it says so."""
    place = list(node.input).index(name)
    if node.op_type == "Gather" and place == 1:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        table = wiring.held(node.input[0])
        return int(table.dims[axis]) if table is not None else None
    if node.op_type == "EmbedLayerNormalization" and place < 2:
        table = wiring.held(node.input[2 + 2 * place])
        return int(table.dims[0]) if table is not None else None
    if node.op_type == "OneHot" and place == 0:
        return _integer(wiring.held(node.input[1]))
    if node.op_type == "Equal":
        return _counted(wiring.held(node.input[1 - place]))
    return None


def _integer(tensor: Any | None) -> int | None:
    from onnx import numpy_helper

    return None if tensor is None else int(numpy_helper.to_array(tensor).ravel()[0])


def _counted(tensor: Any | None) -> int | None:
    """``n`` if the tensor holds 0, 1 … n-1: a one-hot encoding spelt as a comparison."""
    import numpy as np
    from onnx import numpy_helper

    if tensor is None:
        return None
    values = numpy_helper.to_array(tensor).ravel()
    return len(values) if len(values) > 1 and np.array_equal(values, range(len(values))) else None
