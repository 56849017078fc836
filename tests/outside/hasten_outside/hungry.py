"""Takes memory until somebody stops it.

**Source:** made up for tests.
"""

from __future__ import annotations

import time
from typing import Any

from hasten.plugin import Runner
from hasten.types import Model, Workload
from hasten_outside._runner import LinearEngine

PIECE_BYTES = 2**25
PIECES = 64


class Hungry(LinearEngine):
    """2 GiB in small bites, each of them written to."""

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        eaten = []
        for _ in range(PIECES):
            eaten.append(b"x" * PIECE_BYTES)
            time.sleep(0.05)
        return super().compile(model, workload, options)
