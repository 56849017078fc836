"""Computes something else, and fast.

**Source:** made up for tests.
"""

from __future__ import annotations

from typing import Any

from hasten.plugin import Runner
from hasten.types import Model, Workload
from hasten_outside._runner import FAST_SECONDS, LinearEngine, LinearRunner


class Careless(LinearEngine):
    """The classes in reversed order."""

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        return LinearRunner(model.handle[:, ::-1], FAST_SECONDS)
