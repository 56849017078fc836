"""ConvNeXt-atto.

**Source:** Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545, section 2; the atto size
(depths 2-2-6-2, 40 to 320 channels, 1x1 convolutions in the block) is timm's ``convnext_atto``.
Differs: the layer scale starts at 1, not 1e-6, because with untrained weights and 1e-6 no block
would reach the output, and the accuracy limit would test nothing.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bench.models.weights import seeded

DEPTHS = (2, 2, 6, 2)
WIDTHS = (40, 80, 160, 320)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of ``(batch, channels, height, width)``."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A 7x7 filter for each channel, then two 1x1 convolutions, scaled and added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3, groups=width),
            ChannelNorm(width),
            nn.Conv2d(width, 4 * width, 1),
            nn.GELU(),
            nn.Conv2d(4 * width, width, 1),
        )
        self.scale = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scale * self.branch(x)


class ConvNeXt(nn.Module):
    """Pictures ``(batch, 3, 224, 224)`` to logits ``(batch, 1000)``."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 4, 4), ChannelNorm(WIDTHS[0])]
        for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
            if stage:
                before = WIDTHS[stage - 1]
                parts += [ChannelNorm(before), nn.Conv2d(before, width, 2, 2)]
            parts += [Block(width) for _ in range(depth)]
        self.features = nn.Sequential(*parts)
        self.norm = nn.LayerNorm(WIDTHS[-1], eps=1e-6)
        self.head = nn.Linear(WIDTHS[-1], 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = functional.adaptive_avg_pool2d(self.features(image), 1)
        return self.head(self.norm(features.flatten(1)))


def convnext_atto(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """ConvNeXt-atto (3.7 M parameters, 0.55 G multiply-adds)."""
    return seeded(ConvNeXt, seed), (torch.zeros(1, 3, 224, 224),)
