"""Pictures moved by a few pixels, the border filled with its mirror image.

**Source:** airbench (2024): the batch is padded once and cut in at most ``(2 * pixels + 1)``
squared groups, one slice each, in place of one crop per picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch


class ShiftCrop(Speedup):
    """For pictures."""

    kind = "algorithm"
    changes = "the pictures"
    expected = "higher accuracy from many epochs; with few it may cost some"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``pixels``: the largest shift in each direction."""

        pixels: int = 2

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if "pictures" not in setup.traits:
            return Verdict(False, "it is for pictures")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        def shifted(
            inputs: torch.Tensor, targets: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return moved(inputs, options.pixels), targets

        return replace(setup, augment=(*setup.augment, shifted))


def moved(inputs: torch.Tensor, pixels: int) -> torch.Tensor:
    """``(batch, channels, height, width)``, every picture moved by a lot of its own."""
    import torch
    from torch.nn import functional

    height, width = inputs.shape[-2:]
    padded = functional.pad(inputs, (pixels,) * 4, mode="reflect")
    down, right = torch.randint(2 * pixels + 1, (2, len(inputs)), device=inputs.device)
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, None, :]
    numbers = torch.arange(len(inputs))[:, None, None, None]
    channels = torch.arange(inputs.shape[1])[None, :, None, None]
    return padded[numbers, channels, rows, columns]
