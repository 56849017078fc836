"""OpenVINO IR: a graph as XML and its weights as one binary file.

**Source:** OpenVINO 2026.4 Python API (``save_model``, ``Core.read_model``); operator shapes from
the "Operation Specifications" of its documentation. Weights stay in fp32 (``save_model`` would
halve them by default): precision is a setting of the engine, not of the file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hasten.errors import BadModel
from hasten.forms._openvino_work import CONVOLUTION, DECONVOLUTION, RECURRENT, WORK
from hasten.plugin import Form
from hasten.types import Arrays, Model, Spec

XML = "model.xml"


class OpenVINO(Form):
    """``openvino.Model``; inputs and outputs in the order of the specification."""

    requires = ("openvino>=2025.2",)
    extra = "openvino"
    suffix = ".xml"

    def save(self, model: Model, folder: Path) -> None:
        self.write(model, folder / XML)

    def write(self, model: Model, path: Path) -> None:
        import openvino

        openvino.save_model(model.handle, path, compress_to_fp16=False)

    def load(self, folder: Path, spec: Spec) -> Any:
        import openvino

        try:
            return openvino.Core().read_model(folder / XML)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BadModel(
                f"Cannot read the OpenVINO model '{folder / XML}': {reason}. Make it again."
            ) from error

    def traits(self, handle: Any) -> frozenset[str]:
        nodes = list(_everywhere(handle))
        kinds = {node.get_type_name() for node in nodes}
        found = {trait for trait, names in _TRAITS.items() if kinds & names}
        if any(_mixes(node) for node in nodes if node.get_type_name() == "Softmax"):
            found.add("attention")
        return frozenset(found)

    def layers(self, handle: Any, feeds: Arrays) -> Arrays:
        import openvino
        from openvino import opset13

        traced = handle.clone()
        inputs = [feeds[port.any_name] for port in traced.inputs]
        shapes = {i: openvino.PartialShape(list(array.shape)) for i, array in enumerate(inputs)}
        traced.reshape(shapes)
        found = self.layer_nodes(traced)
        first = len(traced.outputs)
        traced.add_results([opset13.result(_biased(node)) for node in found])
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.Core().compile_model(traced, "CPU", settings).create_infer_request()
        answers = request.infer(dict(enumerate(inputs))).to_tuple()[first:]
        return {node.friendly_name: out for node, out in zip(found, answers, strict=True)}

    def size(self, handle: Any) -> tuple[int, int]:
        constants = [node for node in handle.get_ops() if node.get_type_name() == "Constant"]
        weights = [c for c in constants if str(c.get_element_type().to_string()) in _WEIGHTS]
        parameters = sum(math.prod(node.get_output_shape(0)) for node in weights)
        return parameters, sum(self.multiply_adds(_single(handle)).values())

    def operators(self, handle: Any) -> dict[str, int]:
        kinds = (node.get_type_name() for node in _everywhere(handle))
        return dict(Counter(k for k in kinds if k not in ("Constant", "Parameter", "Result")))

    def multiply_adds(self, handle: Any) -> dict[str, int]:
        """Multiply-adds of one call, by layer name; ``{}`` while any of its shapes is free."""
        nodes = self.layer_nodes(handle)
        ports = [port for node in nodes for port in (*node.inputs(), node.output(0))]
        if any(port.get_partial_shape().is_dynamic for port in ports):
            return {}
        return {node.friendly_name: WORK[node.get_type_name()](node) for node in nodes}

    def shown_as(self, handle: Any) -> dict[str, str]:
        """The layer that a runtime means by a node's name: its own, or the bias it takes in."""
        nodes = self.layer_nodes(handle)
        biases = {_biased(node).get_node().friendly_name: node.friendly_name for node in nodes}
        return biases | {node.friendly_name: node.friendly_name for node in nodes}

    def layer_nodes(self, handle: Any) -> list[Any]:
        """The nodes that do multiply-adds, in order; nested graphs are not entered."""
        return [node for node in handle.get_ordered_ops() if node.get_type_name() in WORK]


_TRAITS: Mapping[str, set[str]] = {
    "convolution": CONVOLUTION | DECONVOLUTION,
    "recurrent": RECURRENT,
    "attention": {"ScaledDotProductAttention"},
    "quantized": {"FakeQuantize", "FakeConvert"},
    "control-flow": {"If", "Loop", "TensorIterator"},
}
#: Element types that hold weights; shapes and indices are i32 and i64.
_WEIGHTS = {"f64", "f32", "f16", "bf16", "i8", "u8", "i4", "u4", "f8e4m3", "f8e5m2"}


def _everywhere(handle: Any) -> Iterator[Any]:
    """All nodes, those of nested graphs included."""
    for node in handle.get_ordered_ops():
        yield node
        kind = node.get_type_name()
        if kind in _TRAITS["control-flow"]:
            for index in range(2 if kind == "If" else 1):
                yield from _everywhere(node.get_function(index))


def _mixes(softmax: Any) -> bool:
    """Whether a product with computed values consumes this softmax: attention, decomposed."""
    frontier = [softmax]
    for _ in range(3):
        users = [p.get_node() for n in frontier for o in n.outputs() for p in o.get_target_inputs()]
        if any(user.get_type_name() == "MatMul" and not _constant(user) for user in users):
            return True
        frontier = [user for user in users if user.get_type_name() != "MatMul"]
    return False


def _constant(node: Any) -> bool:
    return any(value.get_node().get_type_name() == "Constant" for value in node.input_values())


def _biased(node: Any) -> Any:
    """The layer's output after its bias: quantisers correct biases, so only then it compares."""
    users = list(node.output(0).get_target_inputs())
    if len(users) == 1:
        after = users[0].get_node()
        if after.get_type_name() == "Add" and _constant(after):
            return after.output(0)
    return node.output(0)


def _single(handle: Any) -> Any:
    """The graph with free leading dimensions set to one sample."""
    sized, shapes = handle.clone(), {}
    for index, port in enumerate(sized.inputs):
        shape = port.partial_shape
        if shape.rank.is_static and len(shape) and shape[0].is_dynamic:
            shape[0] = 1
            shapes[index] = shape
    sized.reshape(shapes)
    return sized
