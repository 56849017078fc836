"""Answers from an average of the last weights.

**Source:** Polyak and Juditsky (1992); the exponential form as in Composer's method card.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.speedups._average import Average
from hasten.types import Verdict


class Ema(Speedup):
    """An average that follows the weights; it answers, it does not learn."""

    kind = "algorithm"
    changes = "the weights that answer"
    expected = "some tenths of a point, most before the learning rate has fallen"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``decay``: how much of the average every step keeps."""

        decay: float = 0.99

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if setup.average is not None:
            return Verdict(False, "another average of the weights is in use")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, average=lambda module: Average(module, options.decay))
