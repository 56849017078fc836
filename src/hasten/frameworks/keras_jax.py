"""Keras 3 on JAX.

**Source:** Keras 3.15, as ``_keras.py`` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from hasten.frameworks._keras import KerasNet
from hasten.plugin.frameworks import Framework, Layer, Net


class KerasJAX(Framework):
    """``fit`` with the back end ``jax``."""

    requires = ("keras>=3.12", "jax>=0.6")
    extra = "frameworks"
    title = "Keras on JAX"
    environment: ClassVar = {"KERAS_BACKEND": "jax"}

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
