"""Memory that was freed stays with the process, for the next step to use.

**Source:** ``mallopt(3)`` of glibc, ``M_MMAP_MAX`` and ``M_TRIM_THRESHOLD``. By itself glibc maps
every block above 32 MiB anew and gives it back at once, so that the system has to clear all pages
of a large activation in every step. The price is memory: what a step needs at most stays taken
until the run ends.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""What ``malloc.h`` calls ``M_TRIM_THRESHOLD``, ``M_MMAP_THRESHOLD`` and ``M_MMAP_MAX``."""
NEVER = -1
USUAL = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}
"""Where glibc's own adjusting arrives after the first large block that is freed."""


class KeptMemory(Speedup):
    """For large batches on a CPU."""

    kind = "system"
    order = 57
    exact = True
    needs_whole_batches = True
    changes = "who holds memory between two steps"
    expected = "1.0 to 1.3 times"

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if setup.device != "cpu":
            return Verdict(False, "PyTorch keeps a GPU's memory by itself")
        if not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")):
            return Verdict(False, "it is for Linux with glibc")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, states=(*setup.states, kept))


@contextmanager
def kept() -> Iterator[None]:
    """The whole process keeps what it frees; afterwards all of it is given back."""
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        for parameter, value in USUAL.items():
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)
