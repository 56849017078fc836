"""Clips to outputs: a small CNN per frame with an LSTM or GRU over time, or 3-D convolutions.

A frame is told as a small grid, not as one mean: where things stand in it is what a movement is
made of.

**Source:** Donahue et al., "Long-term Recurrent Convolutional Networks", arXiv:1411.4389; Tran et
al., "Learning Spatiotemporal Features with 3D Convolutional Networks", arXiv:1412.0767.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn


def recurrent(
    shape: Sequence[int],
    outputs: int,
    *,
    widths: Sequence[int] = (32, 64, 128),
    cell: Literal["lstm", "gru"] = "lstm",
    width: int = 128,
    grid: int = 4,
) -> nn.Module:
    """``(batch, frames, channels, height, width)`` to ``(batch, outputs)``.

    One convolution of stride 2 for each of ``widths``; the mean of every cell of about ``grid`` x
    ``grid`` feeds a linear layer of ``width``, and that the cells.
    """
    import torch
    from torch import nn

    class ClipClassifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parts: list[nn.Module] = []
            for before, after in pairwise((shape[1], *widths)):
                parts += [
                    nn.Conv2d(before, after, 3, 2, 1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                ]
            # Sizes are known here, so that no engine has to work an adaptive pool out.
            sides = [-(-side // 2 ** len(widths)) for side in shape[-2:]]
            steps = [max(1, side // grid) for side in sides]
            cells = math.prod(side // step for side, step in zip(sides, steps, strict=True))
            parts += [nn.AvgPool2d(steps), nn.Flatten()]
            parts += [nn.Linear(cells * widths[-1], width, bias=False), nn.BatchNorm1d(width)]
            self.frame = nn.Sequential(*parts, nn.ReLU())
            kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
            self.cells = kind(width, width, batch_first=True)
            self.head = nn.Linear(width, outputs)

        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            frames = self.frame(clip.flatten(0, 1)).unflatten(0, (-1, clip.shape[1]))
            steps, _ = self.cells(frames)
            return self.head(steps[:, -1])  # type: ignore[no-any-return]

    return ClipClassifier()


def convolutional(
    shape: Sequence[int], outputs: int, *, widths: Sequence[int] = (16, 32, 64, 128)
) -> nn.Module:
    """The same with convolutions over time and picture."""
    import torch
    from torch import nn

    class ConvolvedClip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parts: list[nn.Module] = []
            for number, (before, after) in enumerate(pairwise((shape[1], *widths))):
                stride = (2 if number and shape[0] > 2**number else 1, 2, 2)
                parts += [
                    nn.Conv3d(before, after, 3, stride, 1, bias=False),
                    nn.BatchNorm3d(after),
                    nn.ReLU(),
                ]
            self.body = nn.Sequential(*parts, nn.AdaptiveAvgPool3d(1), nn.Flatten())
            self.head = nn.Linear(widths[-1], outputs)

        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(clip.transpose(1, 2)))  # type: ignore[no-any-return]

    return ConvolvedClip()
