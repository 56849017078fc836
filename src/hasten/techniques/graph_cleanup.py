"""Graph clean-up: fold what is constant, merge what is linear, on a modern operator set.

**Source:** ONNX Runtime "Graph Optimizations", level basic; ``onnx.version_converter``.
Weights in ``Constant`` nodes become initialisers, batch normalisation and bias go into the layer
before, branches with a known condition are inlined, opsets 7 to 12 become 17. Only standard
operators result, so every engine and quantiser can take the graph, and layers keep their names.
The attention fusions of ``onnxruntime.transformers`` are left out: on BERT- and ViT-like graphs
they were slower than what ONNX Runtime fuses by itself, and other engines cannot read them.
"""

from __future__ import annotations

from typing import Any

from hasten.plugin import Technique
from hasten.techniques import _onnx
from hasten.types import Arrays, Model


class GraphCleanup(Technique):
    """Takes and gives form ``"onnx"``; the outputs stay equivalent."""

    accepts = ("onnx",)
    stage = "clean"
    exact = True
    requires = ("onnx>=1.17", "onnxruntime>=1.20")
    extra = "onnxruntime"
    typical_seconds = 1.0

    def apply(self, model: Model, samples: Arrays, options: Any) -> Model:
        with _onnx.quietly(self.name):
            return _onnx.finished(model, _onnx.clean(model))
