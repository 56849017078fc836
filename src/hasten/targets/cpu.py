"""The CPU: what it is, what of it this process may use, and the rates that it reaches.

**Source:** ``/proc``, ``/sys`` and control groups on Linux; ``sysctl`` on macOS; ``kernel32`` on
Windows (see ``_linux`` and ``_desktop``). Peaks: see ``_jobs`` and ``_peaks``.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from hasten.plugin import Facts, Target
from hasten.targets import _desktop, _linux, _peaks
from hasten.targets._jobs import Request

MEANS = ("openvino", "onnxruntime", "numpy", "torch")
BUDGET_SECONDS = 20.0
SECONDS_PER_QUANTITY = 0.8
UNKNOWN_CACHE_BYTES = 32 << 20
"""Taken for the last-level cache where the system does not tell: larger than most."""
MACHINES = {"amd64": "x86_64", "x64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


class Cpu(Target):
    """The processor that this process runs on."""

    def probe(self) -> Facts:
        """Name, ISA, cores, caches and memory; ``None`` where the system does not tell.

        ``cores`` is what this process may use: physical cores within its affinity and its
        control group's quota. ``memory_bytes`` is the machine's, or the control group's limit.
        """
        machine = platform.machine().lower()
        return {
            "present": True,
            "arch": MACHINES.get(machine, machine),
            "os": platform.system(),
            **with_cores(_system()),
        }

    def measure(self) -> Facts:
        """Peaks of f32, bf16 and int8 products and memory bandwidth, on all usable cores.

        ``{"peaks": {"f32": operations/s, …}, "bandwidth_bytes_per_second": …, "records": […]}``.
        A peak is the best call of the fastest library at hand: an upper bound for kernels, unless
        other work was running (see ``load_before`` and each record's ``spread``). The bandwidth
        is that of main memory; data that fit into a cache move faster.
        """
        facts = self.probe()
        cache = sum(v for level, v in facts["cache_totals"].items() if level == "L3")
        cache = cache or max(facts["caches"].values(), default=UNKNOWN_CACHE_BYTES)
        cache = min(cache, (facts["memory_bytes"] or 1 << 40) // 64)
        request = Request(facts["cores"], SECONDS_PER_QUANTITY, cache)
        return _peaks.collect(MEANS, request, BUDGET_SECONDS)


def _system() -> dict[str, Any]:
    system = platform.system()
    if system == "Linux":
        return _linux.facts(allowed=os.sched_getaffinity(0))
    if system == "Darwin":
        return _desktop.macos()
    return _desktop.windows() if system == "Windows" else _desktop.unknown()


def with_cores(facts: Mapping[str, Any]) -> dict[str, Any]:
    """``facts`` with ``cores``: how many threads of arithmetic this process can really run."""
    allowed = facts["allowed_physical_cores"]
    quota = facts["quota_cores"]
    return {**facts, "cores": max(1, min(allowed, int(quota)) if quota else allowed)}
