"""Computes faithfully and slowly: the reference.

**Source:** made up for tests.
"""

from __future__ import annotations

from typing import Any

from hasten.plugin import Runner
from hasten.types import Model, Workload
from hasten_outside._runner import SLOW_SECONDS, LinearEngine, LinearRunner


class Steady(LinearEngine):
    """Four times slower than the others."""

    yardstick = 1

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        return LinearRunner(model.handle, SLOW_SECONDS)
