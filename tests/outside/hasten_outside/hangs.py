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
    """Sleeps for an hour. Tried last, because it says that it takes long."""

    typical_seconds = 1.0

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        time.sleep(3600)
        return super().compile(model, workload, options)
