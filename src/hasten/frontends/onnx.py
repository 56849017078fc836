"""ONNX models: a ``.onnx`` file (external data included) or a live ``onnx.ModelProto``.

**Source:** ONNX IR version 3 to 13, operator sets 7 to 26 (onnx 1.17 or newer). The graph is
brought into one shape that everything behind can rely on: every node has a name of its own,
weights are no inputs, functions are inlined, free dimensions are named and the leading one is
``"batch"``, stale shape annotations are gone. What is computed does not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hasten.errors import BadInput
from hasten.frontends import _onnx_dims as dims
from hasten.frontends._onnx_file import read
from hasten.plugin import Frontend, Source
from hasten.types import Model, Spec, TensorSpec


class Onnx(Frontend):
    """Gives a model in form ``"onnx"``."""

    requires = ("onnx>=1.17",)
    extra = "onnxruntime"
    order = 20

    def sniff(self, what: Any) -> bool:
        if isinstance(what, str | Path):
            return Path(what).suffix.lower() == ".onnx"
        kind = type(what)
        return kind.__name__ == "ModelProto" and kind.__module__.partition(".")[0] == "onnx"

    def load(self, source: Source) -> Model:
        if source.weights is not None:
            raise BadInput(
                f"Cannot load weights '{source.weights}' into an ONNX model: it brings its own. "
                "Leave --weights out."
            )
        proto = _tidy(read(source.what))
        return Model("onnx", proto, _declare(proto, source.examples))


def _tidy(proto: Any) -> Any:
    """The same computation, spelt as the rest of Hasten expects it."""
    from onnx import inliner

    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    held = {tensor.name for tensor in proto.graph.initializer}
    wanted = [tensor for tensor in proto.graph.input if tensor.name not in held]
    del proto.graph.input[:]
    proto.graph.input.extend(wanted)
    for graph in _graphs(proto.graph):
        del graph.value_info[:]
    _name_nodes(proto.graph)
    _lower_version(proto)
    return proto


def _lower_version(proto: Any) -> None:
    """The oldest IR version that can hold the model: runtimes lag behind exporters."""
    from onnx import helper

    needed = helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
    proto.ir_version = max(4, needed, min(proto.ir_version, 10))


def _graphs(graph: Any) -> Iterator[Any]:
    """``graph`` and all its subgraphs."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _name_nodes(graph: Any) -> None:
    """Give every node a name of its own: its old one if that is free."""
    taken: set[str] = set()
    unnamed = []
    for node in (node for inner in _graphs(graph) for node in inner.node):
        if node.name and node.name not in taken:
            taken.add(node.name)
        else:
            unnamed.append(node)
    for node in unnamed:
        base = node.name or node.op_type
        number = next(n for n in range(len(taken) + 1) if f"{base}_{n}" not in taken)
        node.name = f"{base}_{number}"
        taken.add(node.name)


def _declare(proto: Any, examples: Sequence[TensorSpec]) -> Spec:
    """The specification, written into the graph as well."""
    kinds = {
        tensor.name: dims.dtype_name(tensor) for tensor in (*proto.graph.input, *proto.graph.output)
    }
    inputs = dims.input_shapes(proto.graph.input, examples)
    outputs = dims.output_shapes(proto, inputs)
    for tensor in (*proto.graph.input, *proto.graph.output):
        dims.set_dims(tensor, {**inputs, **outputs}.get(tensor.name))
    given = tuple(
        TensorSpec(tensor.name, kinds[tensor.name], outputs.get(tensor.name, ()))
        for tensor in proto.graph.output
    )
    taken = tuple(TensorSpec(name, kinds[name], shape) for name, shape in inputs.items())
    return Spec(taken, given, guess_task(proto.graph, given))


_BEFORE_AN_ANSWER = frozenset(
    [
        "Add",
        "Cast",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "LogSoftmax",
        "QuantizeLinear",
        "Reshape",
        "Sigmoid",
        "Softmax",
        "Squeeze",
    ]
)
_ANSWERS = frozenset({"Gemm", "MatMul", "Conv", "GlobalAveragePool", "TreeEnsembleClassifier"})


def guess_task(graph: Any, outputs: Sequence[TensorSpec]) -> str:
    """``"classification"`` if the only float output is a table of two or more columns that comes
    from a linear layer, a softmax or a sigmoid; ``""`` (unknown) otherwise.

    A wrong guess is cheap: without labels it only decides that agreement of the largest column is
    compared instead of the signal-to-noise ratio. An embedding from a linear layer cannot be
    told from class scores.
    """
    floats = [tensor for tensor in outputs if tensor.dtype.startswith(("float", "bfloat"))]
    if len(floats) != 1 or len(floats[0].shape) != 2:
        return ""
    columns = floats[0].shape[1]
    if not isinstance(columns, int) or columns < 2:
        return ""
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(floats[0].name)
    while node is not None and node.op_type in _BEFORE_AN_ANSWER:
        if node.op_type in {"Softmax", "LogSoftmax", "Sigmoid"}:
            return "classification"
        node = makers.get(node.input[0]) or makers.get(node.input[-1])
    if node is not None and node.op_type == "Div":  # a softmax spelt out: exp(x) / sum(exp(x))
        node = makers.get(node.input[0])
        return "classification" if node is not None and node.op_type == "Exp" else ""
    return "classification" if node is not None and node.op_type in _ANSWERS else ""
