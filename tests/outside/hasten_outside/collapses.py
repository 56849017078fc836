"""Works until it is stopped and woken for its first turn in the race, then dies.

**Source:** made up for tests.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from hasten.plugin import Runner
from hasten.types import Model, Workload
from hasten_outside._runner import LinearEngine


class Collapses(LinearEngine):
    """SIGCONT kills it."""

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        signal.signal(signal.SIGCONT, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        return super().compile(model, workload, options)
