"""Answers from an average of the last weights.

**Source:** Polyak and Juditsky (1992); the exponential form as in Composer's method card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Setup, Speedup

if TYPE_CHECKING:
    import torch


UPDATES = "updates of the average"


class Ema(Speedup):
    """An average that follows the weights; it answers, it does not learn."""

    kind = "algorithm"
    changes = "the weights that answer"
    expected = "some tenths of a point, most before the learning rate has fallen"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``decay``: how much of the average every step keeps."""

        decay: float = 0.99

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, average=lambda module: Average(module, options.decay))


class Average:
    """The running average of a module's floating-point state."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.kept = {name: value.detach().clone() for name, value in _floats(module).items()}

    def update(self, module: torch.nn.Module, share: float) -> None:
        """Take in the weights after a step."""
        import torch

        self.updates += 1
        # At first it forgets faster, so that the initial weights are soon out of it.
        decay = min(self.decay, self.updates / (9 + self.updates))
        now = _floats(module)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.kept.values()), [now[name] for name in self.kept], 1 - decay
            )

    def swap(self, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Put the average into the module; returns what was there."""
        held = {name: value.detach().clone() for name, value in _floats(module).items()}
        self._fill(module, self.kept)
        return held

    def restore(self, module: torch.nn.Module, held: Mapping[str, torch.Tensor]) -> None:
        """Put the learning weights back."""
        self._fill(module, held)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything it needs to go on."""
        import torch

        return {**self.kept, UPDATES: torch.tensor(self.updates)}

    def enter(self, kept: Mapping[str, torch.Tensor]) -> None:
        """Go on from what ``state`` gave."""
        self.updates = int(kept[UPDATES])
        for name, value in self.kept.items():
            value.copy_(kept[name])

    @staticmethod
    def _fill(module: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> None:
        for name, value in _floats(module).items():
            value.detach().copy_(values[name])


def _floats(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
