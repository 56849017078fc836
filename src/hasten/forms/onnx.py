"""ONNX: a graph of standard operators with its weights, as one protobuf message.

**Source:** ONNX IR version 4 to 13 (onnx 1.17 or newer). The handle is an ``onnx.ModelProto``
that holds its weights. On disk it is ``model.onnx``; a model too large for one protobuf message
(2 GiB) keeps its weights in ``model.data`` beside it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hasten.errors import BadModel, NotInstalled
from hasten.forms import _onnx_graph, _onnx_layers
from hasten.plugin import Form, engines
from hasten.types import BATCH, Arrays, Model, Spec, TensorSpec, Use, Workload

FILE = "model.onnx"
WEIGHTS = ".data"
MESSAGE_BYTES = 2_000_000_000
"""Weights above this go to a file of their own: protobuf stops at 2 GiB."""


class Onnx(Form):
    """Holds an ``onnx.ModelProto``."""

    requires = ("onnx>=1.17",)
    extra = "onnxruntime"
    suffix = ".onnx"

    def save(self, model: Model, folder: Path) -> None:
        self.write(model, folder / FILE)

    def write(self, model: Model, path: Path) -> None:
        import onnx

        proto = model.handle
        if _weight_bytes(proto) <= MESSAGE_BYTES:
            path.write_bytes(proto.SerializeToString(deterministic=True))
            return
        copy = onnx.ModelProto()  # saving with external data empties the message it is given
        copy.CopyFrom(proto)
        beside = path.with_suffix(WEIGHTS).name
        onnx.save_model(copy, str(path), save_as_external_data=True, location=beside)

    def load(self, folder: Path, spec: Spec) -> Any:
        import onnx
        from google.protobuf.message import DecodeError

        path = folder / FILE
        try:
            handle = onnx.load(str(path))
        except (OSError, DecodeError, onnx.checker.ValidationError) as error:
            raise BadModel(
                f"Cannot read the stored model '{path}': {error}. Make it again."
            ) from error
        if not handle.graph.output:  # protobuf reads an empty file without complaint
            raise BadModel(f"Cannot read the stored model '{path}': it is empty. Make it again.")
        return handle

    def traits(self, handle: Any) -> frozenset[str]:
        """Among: ``convolution``, ``attention`` (a softmax between two matrix products),
        ``recurrent`` (cells and loops), ``control-flow`` (``If``, ``Loop``, ``Scan``),
        ``quantized``, ``constant-weights`` (layers whose weights are ``Constant`` nodes)."""
        return _onnx_graph.traits(handle.graph)

    def bounds(self, handle: Any) -> dict[str, int]:
        """Follows integer inputs through reshapes and casts to embeddings and one-hot codes."""
        return _onnx_graph.bounds(handle.graph)

    def size(self, handle: Any) -> tuple[int, int]:
        """Layers inside subgraphs count as parameters, not as multiply-adds."""
        return _onnx_layers.parameters(handle.graph), _onnx_layers.multiply_adds(handle)

    def operators(self, handle: Any) -> dict[str, int]:
        nodes = (node for graph in _onnx_graph.graphs(handle.graph) for node in graph.node)
        return dict(Counter(node.op_type for node in nodes))

    def written_in(self, handle: Any) -> str:
        sets = {one.domain or "ai.onnx": one.version for one in handle.opset_import}
        return ", ".join(f"{domain} opset {version}" for domain, version in sorted(sets.items()))

    def layers(self, handle: Any, feeds: Arrays) -> Arrays:
        """Runs the graph with its layers' outputs exposed, on the form's yardstick engine."""
        import onnx

        ends = _onnx_layers.layer_outputs(handle.graph)
        exposed = onnx.ModelProto()
        exposed.CopyFrom(handle)
        known = {tensor.name for tensor in handle.graph.output}
        for name in dict.fromkeys(ends.values()):
            if name not in known:
                exposed.graph.output.append(onnx.ValueInfoProto(name=name))
        answer = _run(self.name, exposed, feeds)
        return {
            layer: answer[name] for layer, name in ends.items() if answer[name].dtype.kind == "f"
        }


def _weight_bytes(proto: Any) -> int:
    """Bytes of all stored tensors, without serialising the message."""
    return sum(
        len(tensor.raw_data) + 4 * len(tensor.float_data)
        for graph in _onnx_graph.graphs(proto.graph)
        for tensor in graph.initializer
    )


def _run(form: str, proto: Any, feeds: Arrays) -> Arrays:
    """All outputs of one call."""
    fit = [e for e in engines.available() if form in e.accepts and e.yardstick > 0]
    if not fit:
        raise NotInstalled.extra("the layers of an ONNX model", "onnxruntime", "onnxruntime")
    engine = max(fit, key=lambda engine: engine.yardstick)
    inputs = tuple(TensorSpec(name, str(array.dtype), array.shape) for name, array in feeds.items())
    outputs = tuple(TensorSpec(tensor.name, "float32", ()) for tensor in proto.graph.output)
    sizes = {
        dim.dim_param: size
        for tensor in proto.graph.input
        if tensor.name in feeds
        for dim, size in zip(
            tensor.type.tensor_type.shape.dim, feeds[tensor.name].shape, strict=False
        )
        if dim.dim_param
    }
    workload = Workload(sizes.pop(BATCH, 1), tuple(sorted(sizes.items())))
    with engine(Model(form, proto, Spec(inputs, outputs)), workload, Use(engine.name)) as runner:
        return {name: array.copy() for name, array in runner.run(runner.bind(feeds)).items()}
