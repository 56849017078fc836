"""Pruna: listed, but it cannot run beside the CPU build of PyTorch used here.

**Source:** https://docs.pruna.ai/en/stable/setup/install.html (``pip install pruna``). Its package
needs torchvision, which has no build that can be imported beside ``torch==2.13.0+cpu``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from bench.contenders import Contender, Loaded
from bench.jobs import Job
from hasten.errors import Unsupported

WHY = "it needs torchvision, which cannot be imported beside this build of PyTorch"


class Pruna(Contender):
    """Never applicable here, so that tables say why it is missing."""

    title: ClassVar[str] = "Pruna"
    packages: ClassVar[tuple[str, ...]] = ()

    def inapplicable(self, job: Job) -> str:
        return WHY

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        raise Unsupported(f"Cannot build with Pruna: {WHY}.")

    def load(self, job: Job, folder: Path) -> Loaded:
        raise Unsupported(f"Cannot load with Pruna: {WHY}.")
