"""The optimiser's arithmetic for all weights in one kernel.

**Source:** ``fused=True`` of ``torch.optim`` in PyTorch 2.13 (SGD, Adam, AdamW, on CPU and CUDA).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Setup, Speedup
from hasten.speedups._groups import rebuilt

if TYPE_CHECKING:
    import torch


class FusedOptimizer(Speedup):
    """For optimisers of PyTorch that offer it."""

    kind = "system"
    order = 40
    changes = "how the weights are updated"
    expected = "1.02 to 1.1 times for small networks"

    def apply(self, setup: Setup, options: Any) -> Setup:
        def make(module: torch.nn.Module) -> torch.optim.Optimizer:
            plain = setup.optimizer(module)
            if "fused" not in plain.defaults:
                raise TypeError(f"{type(plain).__name__} has no fused form")
            groups = [{**group, "fused": True, "foreach": False} for group in plain.param_groups]
            return rebuilt(plain, groups, fused=True)

        return replace(setup, optimizer=make)
