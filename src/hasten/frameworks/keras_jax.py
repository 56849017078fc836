"""Keras 3 on JAX.

**Source:** Keras 3.15, as ``_keras.py`` says.
"""

from __future__ import annotations

from typing import ClassVar

from hasten.frameworks._keras import OnKeras


class KerasJAX(OnKeras):
    """``fit`` with the back end ``jax``."""

    requires = ("keras>=3.12", "jax>=0.6")
    title = "Keras on JAX"
    environment: ClassVar = {"KERAS_BACKEND": "jax"}
