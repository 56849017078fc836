"""PyTorch with weights and pictures in channels-last order.

**Source:** https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
(``model.to`` and ``input.to(memory_format=torch.channels_last)``; it exists for pictures only).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from bench.contenders import Loaded
from bench.contenders._torch import TorchContender, loaded
from bench.jobs import Job
from hasten.types import Arrays


class TorchChannelsLast(TorchContender):
    """The module and its pictures, converted before any call."""

    title: ClassVar[str] = "PyTorch channels-last"

    def inapplicable(self, job: Job) -> str:
        pictures = any(array.ndim == 4 for array in job.part("test").values())
        return super().inapplicable(job) or ("" if pictures else "its input is no picture")

    def load(self, job: Job, folder: Path) -> Loaded:
        import torch

        plain = loaded(job.module().to(memory_format=torch.channels_last))

        def bind(arrays: Arrays) -> tuple[Any, ...]:
            return tuple(
                tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
                for tensor in plain.bind(arrays)
            )

        return replace(plain, bind=bind)
