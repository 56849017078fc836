"""Keras 3 on PyTorch.

**Source:** Keras 3.15, as ``_keras.py`` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from hasten.frameworks._keras import KerasNet
from hasten.plugin.frameworks import Framework, Layer, Net


class KerasPyTorch(Framework):
    """``fit`` with the back end ``torch``."""

    requires = ("keras>=3.12", "torch>=2.11")
    extra = "frameworks"
    title = "Keras on PyTorch"
    environment: ClassVar = {"KERAS_BACKEND": "torch"}

    def load(self) -> None:
        import keras

        keras.backend.backend()

    def build(
        self,
        layers: Sequence[Layer],
        x: np.ndarray,
        y: np.ndarray,
        learning_rate: float,
        momentum: float,
    ) -> Net:
        return KerasNet(layers, x, y, learning_rate, momentum)
