"""ResNet-18 and ResNet-50.

**Source:** He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385,
table 1. Differs: the stride of a bottleneck stands at its 3x3 convolution ("v1.5"), as in every
current library.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from bench.models.weights import settled
from bench.samples import imagenet_pictures


class ConvNorm(nn.Sequential):
    """A convolution and its BatchNorm, without activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )
        nn.init.kaiming_normal_(self[0].weight, mode="fan_out", nonlinearity="relu")


class Residual(nn.Module):
    """``relu(branch(x) + shortcut(x))``; the shortcut is projected where the shape changes."""

    def __init__(self, branch: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.branch = branch
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.branch(x) + self.shortcut(x))


def basic(inputs: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions."""
    branch = nn.Sequential(ConvNorm(inputs, width, 3, stride), nn.ReLU(), ConvNorm(width, width, 3))
    return Residual(branch, inputs, width, stride)


def bottleneck(inputs: int, width: int, stride: int) -> Residual:
    """1x1 down, 3x3, 1x1 up to four times the width."""
    branch = nn.Sequential(
        ConvNorm(inputs, width, 1),
        nn.ReLU(),
        ConvNorm(width, width, 3, stride),
        nn.ReLU(),
        ConvNorm(width, 4 * width, 1),
    )
    return Residual(branch, inputs, 4 * width, stride)


class ResNet(nn.Module):
    """Pictures ``(batch, 3, 224, 224)`` to logits ``(batch, 1000)``."""

    def __init__(self, depths: tuple[int, ...], bottlenecks: bool) -> None:
        super().__init__()
        block, growth = (bottleneck, 4) if bottlenecks else (basic, 1)
        self.stem = nn.Sequential(
            ConvNorm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
        )
        blocks: list[nn.Module] = []
        channels = 64
        for stage, depth in enumerate(depths):
            for index in range(depth):
                stride = 2 if stage and not index else 1
                blocks.append(block(channels, 64 * 2**stage, stride))
                channels = 64 * 2**stage * growth
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.blocks(self.stem(image))
        return self.head(functional.adaptive_avg_pool2d(features, 1).flatten(1))


def _build(depths: tuple[int, ...], bottlenecks: bool, seed: int) -> nn.Module:
    return settled(partial(ResNet, depths, bottlenecks), seed, imagenet_pictures)


def resnet18(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """ResNet-18 (11.7 M parameters, 1.8 G multiply-adds)."""
    return _build((2, 2, 2, 2), False, seed), (torch.zeros(1, 3, 224, 224),)


def resnet50(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """ResNet-50 (25.6 M parameters, 4.1 G multiply-adds)."""
    return _build((3, 4, 6, 3), True, seed), (torch.zeros(1, 3, 224, 224),)
