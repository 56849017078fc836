"""JAX by itself: functions, a tree of weights, and one compiled step.

**Source:** JAX 0.10, "Training a simple neural network" and ``jax.lax``: ``jit`` around gradient
and update, with the old weights' memory given to the new ones; recurrent layers by ``lax.scan``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from hasten.frameworks import _jax_layers
from hasten.plugin.frameworks import Framework, Lesson, Net


class Jax(Framework):
    """No library on top of it."""

    requires = ("jax>=0.6",)
    extra = "frameworks"
    title = "JAX"
    environment: ClassVar = {"JAX_PLATFORMS": "cpu"}

    def load(self) -> None:
        import jax.numpy  # noqa: F401

    def build(self, lesson: Lesson) -> Net:
        return JaxNet(lesson)


class JaxNet(Net):
    """Pictures are turned to channels last once, when they are handed over."""

    def __init__(self, lesson: Lesson) -> None:
        import jax
        import jax.numpy as jnp

        self.pictures = lesson.x.ndim == 4
        self.x, self.y = self.ready(lesson.x), jnp.asarray(lesson.y, jnp.int32)
        learned, kept = _jax_layers.weights(lesson.layers)
        speed = jax.tree_util.tree_map(jnp.zeros_like, learned)
        self.state = (learned, kept, speed)
        run = _jax_layers.function(lesson.layers)

        def loss(learned: Any, kept: Any, x: Any, y: Any) -> Any:
            logits, kept = run(learned, kept, x, learning=True)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
            return -chosen.mean(), kept

        def step(state: Any, x: Any, y: Any, row: Any) -> Any:
            learned, kept, speed = state
            gradient = jax.value_and_grad(loss, has_aux=True)
            (value, kept), slopes = gradient(learned, kept, x[row], y[row])
            speed = jax.tree_util.tree_map(lambda v, g: lesson.momentum * v + g, speed, slopes)
            learned = jax.tree_util.tree_map(
                lambda w, v: w - lesson.learning_rate * v, learned, speed
            )
            return (learned, kept, speed), value

        self.step = jax.jit(step, donate_argnums=0)
        self.run = jax.jit(lambda learned, kept, x: run(learned, kept, x, learning=False)[0])

    def train(self, rows: np.ndarray) -> float:
        value = 0.0
        for row in rows:
            self.state, value = self.step(self.state, self.x, self.y, row)
        return float(value)

    def ready(self, x: np.ndarray) -> Any:
        import jax.numpy as jnp

        return jnp.asarray(np.moveaxis(x, 1, -1) if self.pictures else x)

    def logits(self, x: Any) -> Any:
        learned, kept, _ = self.state
        return np.asarray(self.run(learned, kept, x))
