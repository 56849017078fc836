"""PyTorch, compiled.

**Source:** PyTorch 2.13, "Introduction to torch.compile": as ``pytorch``, the module compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hasten.frameworks._torch_layers import compiled
from hasten.plugin.frameworks import Framework, Layer, Net


class PyTorchCompiled(Framework):
    """``torch.compile`` with its defaults."""

    requires = ("torch>=2.11",)
    extra = "torch"
    title = "PyTorch, compiled"

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
        return compiled(layers, x, y, learning_rate, momentum)
