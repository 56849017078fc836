"""ONNX Runtime with dynamic int8 quantisation.

**Source:** https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
("dynamic quantization for RNNs and transformer-based models, and static quantization for CNN
models"): pre-processing, then ``quantize_dynamic`` with its defaults. Not used for CNNs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from bench.contenders._onnxruntime import SessionContender, preprocessed
from bench.jobs import Job


class OnnxRuntimeDynamicInt8(SessionContender):
    """Weights in int8; activations are quantised on the way, with ranges of the moment."""

    title: ClassVar[str] = "ONNX Runtime dynamic int8"

    def inapplicable(self, job: Job) -> str:
        return "its documentation advises static for CNNs" if job.row.family == "cnn" else ""

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        from onnxruntime.quantization import quantize_dynamic

        ready = preprocessed(job, folder)
        quantize_dynamic(ready, folder / "model.onnx")
        ready.unlink()
        return {}
