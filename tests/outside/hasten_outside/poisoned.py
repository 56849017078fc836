"""Gives NaN for some samples.

**Source:** made up for tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hasten.plugin import Runner
from hasten.types import Arrays, Model, Workload
from hasten_outside._runner import FAST_SECONDS, LinearEngine, LinearRunner


class _NotANumber(LinearRunner):
    def run(self, feed: Any) -> Arrays:
        found = super().run(feed)["y"]
        found[feed[:, 0] > 1] = np.nan
        return {"y": found}


class Poisoned(LinearEngine):
    """NaN where the first input is above 1."""

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        return _NotANumber(model.handle, FAST_SECONDS)
