"""How every engine of this package computes ``y = x @ weight``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from hasten.plugin import Engine, Runner
from hasten.types import Arrays, Kernel, Model, Workload

FAST_SECONDS, SLOW_SECONDS = 0.001, 0.004


class LinearRunner(Runner):
    """One product per call, and a rest that makes it as slow as asked."""

    def __init__(self, weight: np.ndarray, rest_seconds: float) -> None:
        self.weight = weight
        self.rest_seconds = rest_seconds
        self.facts = {"threads": 1, "precision": "f32"}

    def bind(self, arrays: Arrays) -> Any:
        return np.ascontiguousarray(arrays["x"], np.float32)

    def run(self, feed: Any) -> Arrays:
        time.sleep(self.rest_seconds)
        return {"y": feed @ self.weight}

    def profile(self, feed: Any) -> list[Kernel]:
        return [Kernel("product", "MatMul", "f32", self.rest_seconds, self.weight.size)]


class LinearEngine(Engine):
    """Runs form ``"linear"`` on a target that needs no measuring."""

    accepts = ("linear",)
    targets = ("cpu", "testbed")
    typical_seconds = 0.1

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        return LinearRunner(model.handle, FAST_SECONDS)
