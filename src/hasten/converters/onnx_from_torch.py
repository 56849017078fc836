"""PyTorch to ONNX, through the exported graph.

**Source:** PyTorch 2.13, ``torch.onnx.export(dynamo=True)``. It keeps LSTM, GRU,
LayerNormalization and Gelu as one node each; how it rearranges their weights is folded away here,
because quantisers look for plain initializers. The older TorchScript exporter is several times
faster, but it freezes free dimensions of exported graphs and knows fewer operators.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

from hasten.errors import Unsupported
from hasten.plugin import Converter, forms
from hasten.types import Model, Spec, Workload

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto
    from torch.export import ExportedProgram

FOLDED_BYTES = 1 << 31
"""Constants up to this size are computed at export: what protobuf can hold."""


class OnnxFromTorch(Converter):
    """Exports with free dimensions and the specification's names."""

    requires = ("torch>=2.11", "onnx>=1.17", "onnxscript>=0.5")
    extra = "export"
    typical_seconds = 4.0
    takes = "torch"
    gives = "onnx"

    def convert(self, model: Model, workload: Workload) -> Any:
        form: Any = forms.get("torch")
        program = form.export(model.handle, model.spec)
        try:
            with _quiet():
                proto = _translated(program, model.spec)
        except Exception as error:
            # The exporter raises errors of many classes, its translators' own included.
            raise Unsupported(
                f"Cannot convert the model to ONNX: {_reason(error)}. "
                "Use an engine that runs PyTorch models."
            ) from error
        _rename_dimensions(proto, model.spec)
        _strip(proto)
        _strip_graph(proto.graph)
        return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the exporter logs, warns of and prints; what matters comes as an error."""
    import torch

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            with torch.no_grad():
                yield
    finally:
        logging.disable(before)


def _reason(error: BaseException) -> str:
    """The first line of the error that began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _translated(program: ExportedProgram, spec: Spec) -> ModelProto:
    import torch
    from onnxscript import optimizer

    made: Any = torch.onnx.export(
        program,
        (),
        input_names=[tensor.name for tensor in spec.inputs],
        output_names=[tensor.name for tensor in spec.outputs],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    optimizer.optimize(made.model, input_size_limit=FOLDED_BYTES, output_size_limit=FOLDED_BYTES)
    return made.model_proto


def _rename_dimensions(proto: ModelProto, spec: Spec) -> None:
    """Give the free dimensions the specification's names instead of the tracer's."""
    names: dict[str, str] = {}
    for value, tensor in zip(proto.graph.input, spec.inputs, strict=True):
        for found, wanted in zip(value.type.tensor_type.shape.dim, tensor.shape, strict=True):
            if isinstance(wanted, str) and found.dim_param:
                names[found.dim_param] = wanted
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = _renamed(dim.dim_param, names)


def _renamed(expression: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\w+", lambda match: names.get(match.group(), match.group()), expression)


def _strip_graph(graph: GraphProto) -> None:
    """Remove the exporter's notes: they hold paths of the machine it ran on."""
    for noted in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        _strip(noted)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip_graph(attribute.g)


def _strip(noted: Any) -> None:
    del noted.metadata_props[:]
    noted.ClearField("doc_string")
