"""Prints to standard output in every way there is, and reads standard input.

**Source:** made up for tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hasten.plugin import Runner
from hasten.types import Model, Workload
from hasten_outside._runner import FAST_SECONDS, LinearEngine, LinearRunner


class Chatty(LinearEngine):
    """Would ruin any protocol on the standard streams; slower than the best."""

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        print('{"ok": true, "from": "print"}')
        os.write(1, b'{"ok": true, "from": "write"}\n')
        subprocess.run(["echo", '{"ok": true, "from": "a program"}'], check=True)
        sys.stdin.readline()
        return LinearRunner(model.handle, 2 * FAST_SECONDS)
