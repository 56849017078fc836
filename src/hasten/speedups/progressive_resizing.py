"""Small pictures first, whole ones at the end.

**Source:** Composer's method card "Progressive Resizing" after Howard (DAWNBench, 2018), with its
numbers: half the size for the first half of the run, growing by ``step`` pixels until a fifth is
left, then the whole size. About half of the operations, "limited effect on accuracy". Here pictures
are scaled, bilinear with antialiasing, never cropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hasten.errors import Unsupported
from hasten.plugin import Facts, Moment, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch


class ProgressiveResizing(Speedup):
    """For larger pictures and networks that take any size; answers are judged at the whole one."""

    kind = "algorithm"
    changes = "the size of the pictures"
    expected = "1.5 to 2 times less computing, about the same accuracy"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``first``: the share of the size to begin with. ``delay`` and ``whole``: the share of the
        run at that size, and at the whole size. ``step``: sizes are multiples of so many pixels.
        ``least``: the side in pixels from which on pictures are resized; smaller ones lose what
        tells them apart sooner, so they are only where that is asked for."""

        first: float = 0.5
        delay: float = 0.5
        whole: float = 0.2
        step: int = 4
        least: int = 64

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if "pictures" not in setup.traits or setup.peek is None:
            return Verdict(False, "it is for pictures")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        side = min(setup.peek(1).shape[-2:])  # type: ignore[misc]  # supports has looked
        if side < options.least:
            raise Unsupported(
                f"Cannot use speed-up 'progressive_resizing': pictures of {side} pixels are below "
                f"its least of {options.least}. Leave it out, or give least:{side}."
            )

        def resize(inputs: torch.Tensor, targets: Any, moment: Moment) -> tuple[torch.Tensor, Any]:
            return resized(inputs, scale(moment.share, options), options.step), targets

        # Before all others, so that they have less to do.
        return replace(setup, augment=(resize, *setup.augment))


def scale(share: float, options: Any) -> float:
    """The share of height and width after ``share`` of the run."""
    growing = 1 - options.delay - options.whole
    if share < options.delay or growing <= 0:
        return float(options.first if share < 1 - options.whole else 1.0)
    grown = min(1.0, (share - options.delay) / growing)
    return float(options.first + (1 - options.first) * grown)


def resized(inputs: torch.Tensor, share: float, step: int) -> torch.Tensor:
    """``(batch, channels, height, width)`` at a share of its size, in multiples of ``step``."""
    from torch.nn import functional

    if share >= 1:
        return inputs
    size = [max(step, round(side * share / step) * step) for side in inputs.shape[-2:]]
    return functional.interpolate(inputs, size, mode="bilinear", antialias=True)
