"""ONNX to PyTorch, by Hasten's own builder: the result trains, and its batch stays free.

**Source:** the operator sets 7 to 26 of ONNX. Whole numbers that describe shapes are computed on
the host, so that ``torch.export`` sees through them (``hasten.graphs.module``).
"""

from __future__ import annotations

from typing import Any

from hasten.plugin import Converter
from hasten.types import Model, Workload


class TorchFromOnnx(Converter):
    """Builds an ``nn.Module`` that takes the graph's inputs by position."""

    requires = ("torch>=2.11", "onnx>=1.17")
    extra = "onnxruntime"
    typical_seconds = 1.0
    takes = "onnx"
    gives = "torch"

    def convert(self, model: Model, workload: Workload) -> Any:
        from hasten.graphs.onnx.build import build

        module = build(model.handle).eval()
        order = [tensor.name for tensor in model.spec.inputs]
        module.names = tuple(order)
        return module
