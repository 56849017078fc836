"""Pictures mirrored left to right, every other one by lot.

**Source:** Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks"
(2012), section 4.1; here on a whole batch at once. It does harm where left and right differ in
meaning (digits, letters), so only recipes and users switch it on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Facts, Moment, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch


class Flip(Speedup):
    """For pictures and clips."""

    kind = "algorithm"
    changes = "the pictures"
    expected = "higher accuracy from the same epochs, where mirrored pictures mean the same"

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if "pictures" not in setup.traits:
            return Verdict(False, "it is for pictures")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, augment=(*setup.augment, flipped))


def flipped(inputs: torch.Tensor, targets: Any, moment: Moment) -> tuple[torch.Tensor, Any]:
    """Half of the batch ``(batch, ..., height, width)`` mirrored."""
    import torch

    chosen = torch.rand(len(inputs), device=inputs.device) < 0.5
    return torch.where(chosen.view(-1, *[1] * (inputs.ndim - 1)), inputs.flip(-1), inputs), targets
