"""PyTorch, eager.

**Source:** PyTorch 2.13, its "Training a Classifier" tutorial: model, ``SGD``, ``backward``,
``step``; samples in one tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hasten.frameworks._torch_layers import TorchNet
from hasten.plugin.frameworks import Framework, Layer, Net


class PyTorch(Framework):
    """``nn.Module`` and ``torch.optim.SGD``."""

    requires = ("torch>=2.11",)
    extra = "torch"
    title = "PyTorch"

    def load(self) -> None:
        import torch  # noqa: F401

    def build(
        self,
        layers: Sequence[Layer],
        x: np.ndarray,
        y: np.ndarray,
        learning_rate: float,
        momentum: float,
    ) -> Net:
        return TorchNet(layers, x, y, learning_rate, momentum)
