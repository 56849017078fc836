"""torch.compile with Inductor, weights frozen, in bf16 by autocast.

**Source:** https://docs.pytorch.org/docs/stable/amp.html#cpu-op-specific-behavior (autocast on CPU
with ``torch.bfloat16``) around the compiled module, as in
https://docs.pytorch.org/tutorials/prototype/pt2e_quant_x86_inductor.html, ``freezing`` included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from bench.contenders import Loaded
from bench.contenders._torch import TorchContender, loaded
from bench.jobs import Job


class TorchCompileBf16(TorchContender):
    """Inductor; matrix products and convolutions in bf16."""

    title: ClassVar[str] = "torch.compile bf16"
    environment: ClassVar[Mapping[str, str]] = {
        "TORCHINDUCTOR_FREEZING": "1",
        "TORCHINDUCTOR_CACHE_DIR": "{folder}/inductor",
    }

    def load(self, job: Job, folder: Path) -> Loaded:
        import torch

        compiled = torch.compile(job.module())

        def model(*tensors: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return compiled(*tensors)

        return loaded(model, freezing=torch._inductor.config.freezing)
