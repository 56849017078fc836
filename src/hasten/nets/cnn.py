"""Small pictures to outputs: 3x3 convolutions in stages, each half as wide and high as before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn


def cnn(
    shape: Sequence[int],
    outputs: int,
    *,
    widths: Sequence[int] = (32, 64, 128),
    depth: int = 2,
    stem: Literal["learned", "whitening"] = "learned",
    patch: int = 3,
) -> nn.Module:
    """``(batch, channels, height, width)`` to ``(batch, outputs)``.

    One convolution of the first width; then, for each further width, the larger of every 2x2
    pixels, and ``depth`` convolutions. The mean over the picture feeds a linear layer.

    With ``stem="whitening"`` a convolution of ``patch`` x ``patch`` pixels comes before all that:
    two filters for every weight of one, for the speed-up of that name to fill.
    """
    from torch import nn

    parts, channels = _stem(shape[0], stem, patch, nn.ReLU)
    parts += _convolution(channels, widths[0])
    for before, width in pairwise(widths):
        parts.append(nn.MaxPool2d(2))
        for layer in range(depth):
            parts += _convolution(width if layer else before, width)
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], outputs)
    )


def tapered(
    shape: Sequence[int],
    outputs: int,
    *,
    widths: Sequence[int] = (64, 256, 256),
    momentum: float = 0.4,
    stem: Literal["learned", "whitening"] = "learned",
    patch: int = 2,
) -> nn.Module:
    """``(batch, channels, height, width)`` to ``(batch, outputs)``, in fewer operations.

    For each width a convolution, the largest of every 2x2 pixels, and a second convolution: what
    normalises and bends works on a quarter of the pixels. The largest value over the picture feeds
    a linear layer. ``momentum`` is that of the normalisations: a thousand steps have no time for
    PyTorch's 0.1. ``stem`` and ``patch`` are as in ``cnn``.

    **Source:** the networks of airbench (arXiv:2404.00498).
    """
    from torch import nn

    def normalised(width: int) -> tuple[nn.Module, ...]:
        return nn.BatchNorm2d(width, momentum=momentum), nn.GELU()

    parts, channels = _stem(shape[0], stem, patch, nn.GELU)
    for width in widths:
        parts += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        parts += normalised(width)
        parts += [nn.Conv2d(width, width, 3, padding=1, bias=False), *normalised(width)]
        channels = width
    return nn.Sequential(
        *parts, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, outputs)
    )


def _stem(
    channels: int, kind: str, patch: int, bend: type[nn.Module]
) -> tuple[list[nn.Module], int]:
    """The layers before the first learned convolution, and the channels that they give."""
    from torch import nn

    if kind == "learned":
        return [], channels
    filters = 2 * channels * patch * patch
    return [nn.Conv2d(channels, filters, patch, padding=(patch - 1) // 2), bend()], filters


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    from torch import nn

    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
