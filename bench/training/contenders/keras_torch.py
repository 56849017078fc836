"""Keras 3 on PyTorch.

**Source:** Keras' "Training & evaluation with the built-in methods": arrays in memory, ``compile``
and ``fit``; the recipe's optimiser and batch, cosine schedule with warm-up.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.training.contenders import Answers, Contender, _keras
from bench.training.rows import Job


class KerasTorch(Contender):
    title = "Keras 3 on PyTorch, tuned"
    modules = ("keras", "torch")
    environment = {"KERAS_BACKEND": "torch"}  # noqa: RUF012
    recipes = ("cnn",)

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        return _keras.train(job, watch)
