"""A square of every picture is blanked.

**Source:** DeVries and Taylor, arXiv:1708.04552; here on a whole batch at once. It pays in long
runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Facts, Moment, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch


class Cutout(Speedup):
    """For pictures."""

    kind = "algorithm"
    changes = "the pictures"
    expected = "higher accuracy from many epochs"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``pixels``: the side of the square."""

        pixels: int = 4

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if "pictures" not in setup.traits:
            return Verdict(False, "it is for pictures")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        def cut(inputs: torch.Tensor, targets: Any, moment: Moment) -> tuple[torch.Tensor, Any]:
            return blanked(inputs, options.pixels), targets

        return replace(setup, augment=(*setup.augment, cut))


def blanked(inputs: torch.Tensor, pixels: int) -> torch.Tensor:
    """``(batch, channels, height, width)`` with a square of zeros (the mean) in each."""
    import torch

    def inside(size: int) -> torch.Tensor:
        first = torch.randint(1 - pixels, size, (len(inputs), 1), device=inputs.device)
        place = torch.arange(size, device=inputs.device)
        return (place >= first) & (place < first + pixels)

    rows, columns = inside(inputs.shape[-2]), inside(inputs.shape[-1])
    return inputs.masked_fill((rows[:, None, :, None] & columns[:, None, None, :]), 0.0)
