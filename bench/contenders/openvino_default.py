"""OpenVINO as it comes: bf16 where the CPU has it.

**Source:** https://docs.openvino.ai/2025/openvino-workflow/running-inference.html
(``convert_model``, ``compile_model(model, "CPU")``); shared memory for inputs and outputs as in
https://docs.openvino.ai/2025/openvino-workflow/running-inference/inference-request/python-api-advanced-inference.html.
"""

from __future__ import annotations

from typing import ClassVar

from bench.contenders._openvino import IrContender


class OpenVinoDefault(IrContender):
    """Default settings: the latency hint, and the CPU's preferred precision."""

    title: ClassVar[str] = "OpenVINO default"
