"""From a ``ModelProto`` to a module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from hasten.errors import BadModel, Unsupported
from hasten.graphs.module import GraphModule, Node, on_host, tensors
from hasten.graphs.onnx import Call, Operator, known
from hasten.graphs.onnx import host as on_the_host

STANDARD = ("", "ai.onnx")
DAMAGED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What ONNX's own helpers raise where a message contradicts itself."""


def build(proto: Any) -> GraphModule:
    """The module of a model without functions; ``Unsupported`` names all operators it lacks."""
    opset = max((one.version for one in proto.opset_import if one.domain in STANDARD), default=1)
    operators = known()
    _refuse_unknown(proto.graph, operators)
    return _module(proto.graph, opset, operators)


def _refuse_unknown(graph: Any, operators: dict[str, Operator]) -> None:
    strange = {
        f"{node.domain}.{node.op_type}" if node.domain not in STANDARD else node.op_type
        for node in _nodes(graph)
        if node.domain not in STANDARD or node.op_type not in {*operators, "Constant"}
    }
    if strange:
        raise Unsupported(
            f"Cannot build the ONNX graph in PyTorch: it has operators that are not supported "
            f"there, {', '.join(sorted(strange))}. Use an engine that runs ONNX models as they are."
        )


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _module(graph: Any, opset: int, operators: dict[str, Operator]) -> GraphModule:
    constants: dict[str, np.ndarray] = {}
    nodes = []
    for one in graph.initializer:
        with _read(f"initializer '{one.name}'"):
            constants[one.name] = numpy_helper.to_array(one)
    for number, node in enumerate(graph.node):
        with _read(f"node '{node.name or number}' ({node.op_type})"):
            if node.op_type == "Constant":
                constants[node.output[0]] = _constant(node)
            else:
                nodes.append(_node(node, number, opset, operators))
    inputs = [one.name for one in graph.input if one.name not in constants]
    return GraphModule(nodes, constants, inputs, [one.name for one in graph.output])


@contextlib.contextmanager
def _read(what: str) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise BadModel(f"Cannot read {what} of the ONNX graph: {error}.") from error


def _constant(node: Any) -> np.ndarray:
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return numpy_helper.to_array(value)
    kinds = {"value_float": np.float32, "value_floats": np.float32}
    kinds |= {"value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in kinds:
        raise Unsupported(
            f"Operator Constant (node '{node.name}') is not supported: it holds {attribute.name}."
        )
    return np.array(value, dtype=kinds[attribute.name])


def _node(node: Any, number: int, opset: int, operators: dict[str, Operator]) -> Node:
    attributes: dict[str, Any] = {}
    inner: dict[str, GraphModule] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.HasField("g"):
            inner[attribute.name] = _module(value, opset, operators)
        elif attribute.HasField("t"):
            attributes[attribute.name] = numpy_helper.to_array(value)
        else:
            attributes[attribute.name] = _decoded(value)
    wanted = max((n for n, name in enumerate(node.output, 1) if name), default=0)
    captured = tuple(sorted(_captured(node)))
    name = node.name or f"{node.op_type}_{number}"
    call = Call(name, node.op_type, opset, attributes, wanted, inner, captured)
    known_as = operators[node.op_type]
    return Node(
        call.name,
        node.op_type,
        (*node.input, *captured),
        tuple(node.output),
        _run(call, known_as),
        known_as.weights,
        known_as.host,
        tuple(inner.values()),
        node.op_type in on_the_host.FUNCTIONS,
    )


def _captured(node: Any) -> set[str]:
    """Names that the subgraphs of a node take from outside."""
    return {
        name
        for attribute in node.attribute
        if attribute.HasField("g")
        for name in _free(attribute.g)
    }


def _free(graph: Any) -> set[str]:
    """Names that a graph uses and does not make."""
    made = {one.name for one in (*graph.initializer, *graph.input)}
    made |= {name for node in graph.node for name in node.output}
    used = {one.name for one in graph.output}
    for node in graph.node:
        used |= {*node.input, *_captured(node)}
    return used - made - {""}


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return value


def _run(call: Call, known_as: Operator) -> Callable[..., Any]:
    """The function of a node: on the host where all its values are there, else on tensors."""

    def run(*values: Any) -> Any:
        if call.kind in on_the_host.FUNCTIONS and all(on_host(v) or v is None for v in values):
            found = on_the_host.computed(call, values)
            if found is not None:
                return found
        if known_as.raw:
            return known_as.function(call, *values)
        moved = tensors([None if n in known_as.host else v for n, v in enumerate(values)])
        given = [v if n in known_as.host else moved[n] for n, v in enumerate(values)]
        return known_as.function(call, *given)

    return run
