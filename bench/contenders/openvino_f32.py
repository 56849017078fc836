"""OpenVINO in fp32.

**Source:** https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/precision-control.html
(``INFERENCE_PRECISION_HINT``), otherwise as ``openvino_default``.
"""

from __future__ import annotations

from typing import ClassVar

from bench.contenders._openvino import IrContender


class OpenVinoF32(IrContender):
    """Default settings with fp32 arithmetic."""

    title: ClassVar[str] = "OpenVINO f32"
    settings: ClassVar[dict[str, str]] = {"INFERENCE_PRECISION_HINT": "f32"}
