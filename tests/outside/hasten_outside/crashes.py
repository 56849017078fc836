"""Brings its process down while it compiles.

**Source:** made up for tests.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from hasten.plugin import Runner
from hasten.types import Model, Workload
from hasten_outside._runner import LinearEngine


class Crashes(LinearEngine):
    """A segmentation fault, after a word to its log."""

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        sys.stderr.write("about to fail\n")
        os.kill(os.getpid(), signal.SIGSEGV)
        return super().compile(model, workload, options)
