"""ONNX Runtime with static int8 quantisation.

**Source:** https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
(pre-processing, then ``quantize_static``) with the settings that the docstring of
``onnxruntime.quantization.quantize_static`` names for x86 CPUs with VNNI: QDQ, QUInt8 activations,
QInt8 weights, ``reduce_range=False``, one scale per tensor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from bench.contenders._onnxruntime import SessionContender, preprocessed, reader
from bench.jobs import Job


class OnnxRuntimeStaticInt8(SessionContender):
    """Weights and activations in int8, ranges from the calibration samples."""

    title: ClassVar[str] = "ONNX Runtime static int8"

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        ready = preprocessed(job, folder)
        quantize_static(
            ready,
            folder / "model.onnx",
            reader(job),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=False,
            reduce_range=False,
        )
        ready.unlink()
        return {}
