"""PyTorch as it comes.

**Source:** https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad_mode.inference_mode.html
(eval mode, ``torch.inference_mode``).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.contenders import Loaded
from bench.contenders._torch import TorchContender, loaded
from bench.jobs import Job


class TorchEager(TorchContender):
    """The module, called."""

    title: ClassVar[str] = "PyTorch eager"

    def load(self, job: Job, folder: Path) -> Loaded:
        return loaded(job.module())
