"""Small pictures to outputs: 3x3 convolutions in stages, each half as wide and high as before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

WHITENED = 3
"""Pixels of a whitened patch, in height and width."""


def cnn(
    shape: Sequence[int],
    outputs: int,
    *,
    widths: Sequence[int] = (32, 64, 128),
    depth: int = 2,
    stem: Literal["learned", "whitening"] = "learned",
) -> nn.Module:
    """``(batch, channels, height, width)`` to ``(batch, outputs)``.

    One convolution of the first width; then, for each further width, the larger of every 2x2
    pixels, and ``depth`` convolutions. The mean over the picture feeds a linear layer.

    With ``stem="whitening"`` a convolution comes before all that: two filters for every weight of
    one, for the speed-up of that name to fill.
    """
    from torch import nn

    parts, channels = [], shape[0]
    if stem == "whitening":
        filters = 2 * channels * WHITENED * WHITENED
        parts = [nn.Conv2d(channels, filters, WHITENED, padding=WHITENED // 2), nn.ReLU()]
        channels = filters
    parts += _convolution(channels, widths[0])
    for before, width in pairwise(widths):
        parts.append(nn.MaxPool2d(2))
        for layer in range(depth):
            parts += _convolution(width if layer else before, width)
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], outputs)
    )


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    from torch import nn

    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
