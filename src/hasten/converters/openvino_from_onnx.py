"""ONNX to OpenVINO, through OpenVINO's own reader.

**Source:** OpenVINO 2026.4, ``Core.read_model`` on a serialised ``ModelProto``. A model above the
2 GB that one message can hold goes through a temporary folder with its weights beside it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hasten.converters._openvino import finish, reading
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
        with reading():
            read = _read(model.handle)
        return finish(read, model.spec)


def _read(proto: Any) -> Any:
    import onnx
    import openvino

    core = openvino.Core()
    if proto.ByteSize() < _MESSAGE_BYTES:
        return core.read_model(proto.SerializeToString())
    with tempfile.TemporaryDirectory(prefix="hasten-") as folder:
        path = Path(folder) / "model.onnx"
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        onnx.save_model(copy, path, save_as_external_data=True, location="weights")
        return core.read_model(path)
