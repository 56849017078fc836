"""Larger pictures to outputs: residual blocks.

**Source:** He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385; the last
normalisation of a block starts at zero (Goyal et al., arXiv:1706.02677, section 5.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def resnet(
    shape: Sequence[int],
    outputs: int,
    *,
    widths: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (2, 2, 2, 2),
    small: int = 64,
) -> nn.Module:
    """``(batch, channels, height, width)`` to ``(batch, outputs)``; with the defaults, ResNet-18.

    Pictures of at most ``small`` pixels keep their size in the first layer.
    """
    from torch import nn

    if max(shape[1:]) <= small:
        parts = [*_convolution(shape[0], widths[0], 3, 1), nn.ReLU()]
    else:
        parts = [*_convolution(shape[0], widths[0], 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = widths[0]
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            parts.append(_block(before, width, 2 if stage and not block else 1))
            before = width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    from torch import nn

    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def _block(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Two convolutions beside a shortcut."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *_convolution(inputs, outputs, 3, stride),
                nn.ReLU(),
                *_convolution(outputs, outputs, 3, 1),
            )
            nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]
            changes = stride > 1 or inputs != outputs
            self.shortcut = (
                nn.Sequential(*_convolution(inputs, outputs, 1, stride)) if changes else None
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            beside = x if self.shortcut is None else self.shortcut(x)
            return functional.relu(self.body(x) + beside)

    return Block()
