"""ONNX Runtime as it comes.

**Source:** https://onnxruntime.ai/docs/get-started/with-python.html (``InferenceSession``, default
options, CPU provider).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from bench.contenders._onnxruntime import SessionContender
from bench.jobs import Job


class OnnxRuntimeDefault(SessionContender):
    """The fp32 model."""

    title: ClassVar[str] = "ONNX Runtime"

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        shutil.copyfile(job.onnx, folder / "model.onnx")
        return {}
