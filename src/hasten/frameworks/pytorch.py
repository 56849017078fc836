"""PyTorch, eager.

**Source:** PyTorch 2.13, its "Training a Classifier" tutorial: model, ``SGD``, ``backward``,
``step``; samples in one tensor.
"""

from __future__ import annotations

from hasten.frameworks._torch_layers import TorchNet
from hasten.plugin.frameworks import Framework, Lesson, Net


class PyTorch(Framework):
    """``nn.Module`` and ``torch.optim.SGD``."""

    requires = ("torch>=2.11",)
    extra = "torch"
    title = "PyTorch"

    def load(self) -> None:
        import torch  # noqa: F401

    def build(self, lesson: Lesson) -> Net:
        return TorchNet(lesson)
