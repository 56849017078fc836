"""Keras 3 on JAX.

**Source:** Keras' "Training & evaluation with the built-in methods": arrays in memory, ``compile``
and ``fit``; the recipe's optimiser and batch, cosine schedule with warm-up.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.training.contenders import Answers, Contender, _keras
from bench.training.rows import Job


class KerasJax(Contender):
    title = "Keras 3 on JAX, tuned"
    modules = ("keras", "jax")
    environment = {"KERAS_BACKEND": "jax"}  # noqa: RUF012
    recipes = ("cnn",)

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        return _keras.train(job, watch)
