"""Never comes back from compiling.

**Source:** made up for tests.
"""

from __future__ import annotations

import time
from typing import Any

from hasten.plugin import Runner
from hasten.types import Model, Workload
from hasten_outside._runner import LinearEngine


class Hangs(LinearEngine):
    """Sleeps for an hour."""

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        time.sleep(3600)
        return super().compile(model, workload, options)
