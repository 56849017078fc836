"""Keras 3 on PyTorch.

**Source:** Keras 3.15, as ``_keras.py`` says.
"""

from __future__ import annotations

from typing import ClassVar

from hasten.frameworks._keras import OnKeras


class KerasPyTorch(OnKeras):
    """``fit`` with the back end ``torch``."""

    requires = ("keras>=3.12", "torch>=2.11")
    title = "Keras on PyTorch"
    environment: ClassVar = {"KERAS_BACKEND": "torch"}
