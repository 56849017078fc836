"""Keras 3 on TensorFlow.

**Source:** Keras 3.15, as ``_keras.py`` says.
"""

from __future__ import annotations

from typing import ClassVar

from hasten.frameworks._keras import OnKeras


class KerasTensorFlow(OnKeras):
    """``fit`` with the back end ``tensorflow``."""

    requires = ("keras>=3.12", "tensorflow>=2.16")
    title = "Keras on TensorFlow"
    environment: ClassVar = {"KERAS_BACKEND": "tensorflow"}
