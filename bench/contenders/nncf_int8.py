"""NNCF's int8 on OpenVINO.

**Source:** https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html
(``nncf.quantize`` with 300 samples; ``model_type=TRANSFORMER`` for transformers), then
``compile_model`` with default settings.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar

from bench.contenders._openvino import IrContender, converted, save
from bench.jobs import Job


class NncfInt8(IrContender):
    """Static int8; what stays in float runs in the CPU's preferred precision."""

    title: ClassVar[str] = "NNCF int8 (OpenVINO)"
    packages: ClassVar[tuple[str, ...]] = ("openvino", "nncf")

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        import nncf

        batches = [list(arrays.values()) for arrays in job.batches(job.calibration)]
        transformer = job.row.family == "transformer"
        quantised = nncf.quantize(
            converted(job),
            nncf.Dataset(batches),
            subset_size=len(batches),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        )
        save(quantised, folder)
        default = inspect.signature(nncf.quantize).parameters["preset"].default
        return {"preset": str(default), "model_type": "transformer" if transformer else "default"}
