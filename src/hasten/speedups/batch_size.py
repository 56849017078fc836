"""Another batch than the recipe's, with the learning rate that goes with it.

**Source:** Goyal et al., arXiv:1706.02677: the learning rate grows as the batch for SGD; Malladi et
al., arXiv:2205.10287: as its square root for Adam. A larger batch is cheaper per sample, but takes
fewer steps: this changes what is learned, so the gain must be large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch

FACTORS = {"cpu": (0.5, 2.0), "gpu": (0.5, 2.0, 4.0)}
LEAST_STEPS_OF_EPOCH, LEAST_STEPS = 20, 200
"""With fewer steps a larger batch learns less than the recipe's, whatever a sample costs."""


class BatchSize(Speedup):
    """For runs with many steps."""

    kind = "algorithm"
    order = 60
    tried = True
    worth = 1.10
    needs_whole_batches = True
    changes = "samples per step, and the learning rate with them"
    expected = "1.1 to 1.5 times per sample; what is learned has to be looked at"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``factor``: how many times the recipe's batch."""

        factor: float = 2.0

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if "batch" in setup.fixed:
            return Verdict(False, f"a batch of {setup.batch} was asked for")
        return Verdict(True)

    def space(self, setup: Setup, target: Facts) -> Iterator[dict[str, float]]:
        """Half and twice the batch, on a GPU four times as well, where enough steps are left."""
        for factor in FACTORS["gpu" if target.get("kind") == "gpu" else "cpu"]:
            size = round(setup.batch * factor)
            steps = setup.samples // size if size else 0
            if steps >= LEAST_STEPS_OF_EPOCH and steps * setup.epochs >= LEAST_STEPS:
                yield {"factor": factor}

    def apply(self, setup: Setup, options: Any) -> Setup:
        def make(module: torch.nn.Module) -> torch.optim.Optimizer:
            made = setup.optimizer(module)
            for group in made.param_groups:
                linear = "betas" not in group and "muon" not in group
                group["lr"] *= options.factor if linear else options.factor**0.5
            return made

        return replace(setup, batch=max(1, round(setup.batch * options.factor)), optimizer=make)
