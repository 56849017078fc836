"""torch.compile with Inductor, weights frozen.

**Source:** https://docs.pytorch.org/docs/stable/generated/torch.compile.html (default mode) with
``freezing``, which the x86 tutorial https://docs.pytorch.org/tutorials/prototype/pt2e_quant_x86_inductor.html
says to switch on for inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.contenders import Loaded
from bench.contenders._torch import TorchContender, loaded
from bench.jobs import Job


class TorchCompile(TorchContender):
    """Inductor in fp32. What it compiled is cached in its folder and compiled again from there."""

    title: ClassVar[str] = "torch.compile"
    environment: ClassVar[Mapping[str, str]] = {
        "TORCHINDUCTOR_FREEZING": "1",
        "TORCHINDUCTOR_CACHE_DIR": "{folder}/inductor",
    }

    def load(self, job: Job, folder: Path) -> Loaded:
        import torch

        return loaded(torch.compile(job.module()), freezing=torch._inductor.config.freezing)
