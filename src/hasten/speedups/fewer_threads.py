"""Fewer CPU threads than there are cores.

**Source:** ``torch.set_num_threads`` of PyTorch 2.13. Every parallel loop ends with a wait for all
threads; where one step is some hundred microseconds of small products, waiting costs more than the
further threads give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict


class FewerThreads(Speedup):
    """For small networks on a CPU."""

    kind = "system"
    order = 55
    changes = "how many cores compute"
    expected = "1.0 to 1.5 times for small networks"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``count``: how many threads compute."""

        count: int = 1

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if setup.device != "cpu":
            return Verdict(False, "the GPU computes")
        if "threads" in setup.fixed:
            return Verdict(False, f"{setup.threads} threads were asked for")
        return Verdict(True)

    def space(self, setup: Setup, target: Facts) -> Iterator[dict[str, int]]:
        """A half, a quarter and one of those in use."""
        import torch

        most = setup.threads or torch.get_num_threads()
        for count in sorted({most // 2, most // 4, 1} - {0, most}, reverse=True):
            yield {"count": count}

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, threads=options.count)
