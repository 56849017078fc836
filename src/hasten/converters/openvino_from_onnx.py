"""ONNX to OpenVINO, through OpenVINO's own reader.

**Source:** OpenVINO 2026.4, ``Core.read_model`` on a serialised ``ModelProto``; its ONNX front end
where the shapes of inputs have to be told first. A model above the 2 GB that one message can hold
goes through a temporary folder with its weights beside it.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hasten.converters._openvino import finish, reading
from hasten.errors import Unsupported
from hasten.plugin import Converter
from hasten.types import Model, Workload

_MESSAGE_BYTES = 2**31 - 1


class OpenVINOFromONNX(Converter):
    """The same graph; OpenVINO's reader decides which operators it knows."""

    requires = ("openvino>=2025.2", "onnx>=1.17")
    extra = "openvino"
    typical_seconds = 1.0
    takes = "onnx"
    gives = "openvino"

    def convert(self, model: Model, workload: Workload) -> Any:
        try:
            with reading():
                return finish(_read(model.handle), model.spec, {})
        except Unsupported:
            if not model.spec.free or model.handle.ByteSize() > _MESSAGE_BYTES:
                raise
        # Inside an If, some operators can only be read where all shapes are known.
        with reading():
            return finish(_read_sized(model, workload.bound), model.spec, workload.bound)


def _read(proto: Any) -> Any:
    import onnx
    import openvino

    core = openvino.Core()
    if proto.ByteSize() <= _MESSAGE_BYTES:
        return core.read_model(proto.SerializeToString())
    with tempfile.TemporaryDirectory(prefix="hasten-") as folder:
        path = Path(folder) / "model.onnx"
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        onnx.save_model(copy, path, save_as_external_data=True, location="weights")
        return core.read_model(path)


def _read_sized(model: Model, sizes: Mapping[str, int]) -> Any:
    """The graph as it is for these sizes; the engine may still give it others."""
    import openvino
    from openvino.frontend import FrontEndManager

    frontend = FrontEndManager().load_by_framework("onnx")
    graph = frontend.load(io.BytesIO(model.handle.SerializeToString()))
    places = {name: place for place in graph.get_inputs() for name in place.get_names()}
    for tensor in model.spec.inputs:
        shape = openvino.PartialShape(list(tensor.bound(sizes)))
        graph.set_partial_shape(places[tensor.name], shape)
    return frontend.convert(graph)
