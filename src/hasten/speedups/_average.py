"""An average of weights: it follows them, answers in their place, and can be left and entered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

UPDATES = "updates of the average"


class Average:
    """The running average of a module's floating-point state."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        # In float32 also of weights that are not: one step's share would be lost in rounding.
        self.kept = {
            name: value.detach().clone().float() for name, value in _floats(module).items()
        }

    def update(self, module: torch.nn.Module, share: float) -> None:
        """Take in the weights after a step, with ``share`` of the run done."""
        self.updates += 1
        # At first it forgets faster, so that the initial weights are soon out of it.
        self._take_in(module, min(self.decay, self.updates / (9 + self.updates)))

    def _take_in(self, module: torch.nn.Module, decay: float) -> None:
        import torch

        now = _floats(module)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.kept.values()), [now[name].float() for name in self.kept], 1 - decay
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
