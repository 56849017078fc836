"""PyTorch, compiled.

**Source:** PyTorch 2.13, "Introduction to torch.compile": as ``pytorch``, the module compiled.
"""

from __future__ import annotations

from hasten.frameworks._torch_layers import TorchNet
from hasten.plugin.frameworks import Framework, Lesson, Net


class PyTorchCompiled(Framework):
    """``torch.compile`` with its defaults."""

    requires = ("torch>=2.11",)
    extra = "torch"
    title = "PyTorch, compiled"

    def load(self) -> None:
        import torch  # noqa: F401

    def build(self, lesson: Lesson) -> Net:
        import torch

        return TorchNet(lesson, torch.compile)
