"""Pictures moved by a few pixels, the border filled with its mirror image.

**Source:** airbench (2024): the batch is padded once and cut in at most ``(2 * pixels + 1)``
squared groups, one slice each, in place of one crop per picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hasten.errors import BadInput
from hasten.plugin import Facts, Moment, Setup, Speedup
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
        size = min(setup.peek(1).shape[-2:]) if setup.peek else options.pixels + 1
        if not 0 <= options.pixels < size:
            raise BadInput(
                f"Cannot shift pictures of {size} pixels by {options.pixels}: it must be less."
            )

        def shifted(inputs: torch.Tensor, targets: Any, moment: Moment) -> tuple[torch.Tensor, Any]:
            return moved(inputs, options.pixels), targets

        return replace(setup, augment=(*setup.augment, shifted))


def moved(inputs: torch.Tensor, pixels: int) -> torch.Tensor:
    """``(batch, channels, height, width)``, every picture moved by a lot of its own."""
    import torch
    from torch.nn import functional

    height, width = inputs.shape[-2:]
    padded = functional.pad(inputs, (pixels,) * 4, mode="reflect")
    down, right = torch.randint(2 * pixels + 1, (2, len(inputs)), device=inputs.device)

    def count(size: int) -> torch.Tensor:
        return torch.arange(size, device=inputs.device)

    rows = (down[:, None] + count(height))[:, None, :, None]
    columns = (right[:, None] + count(width))[:, None, None, :]
    numbers = count(len(inputs))[:, None, None, None]
    channels = count(inputs.shape[1])[None, :, None, None]
    return padded[numbers, channels, rows, columns]
