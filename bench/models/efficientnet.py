"""EfficientNet-B0.

**Source:** Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", arXiv:1905.11946, table 1. Differs: no stochastic depth, which is off in inference.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bench.models.weights import settled
from bench.samples import imagenet_pictures

#: expansion, kernel, stride, output channels, repeats
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without bias and its BatchNorm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return [conv, nn.BatchNorm2d(outputs)]


class SqueezeExcite(nn.Module):
    """Scales each channel by what the mean over the picture says."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = functional.adaptive_avg_pool2d(x, 1)
        return x * self.expand(functional.silu(self.reduce(scale))).sigmoid()


class MBConv(nn.Module):
    """Expand, filter each channel, squeeze and excite, project; add the input where it fits."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        width = inputs * expansion
        parts: list[nn.Module] = []
        if expansion != 1:
            parts += [*conv_norm(inputs, width, 1), nn.SiLU()]
        parts += [*conv_norm(width, width, kernel, stride, width), nn.SiLU()]
        parts.append(SqueezeExcite(width, inputs // 4))
        self.branch = nn.Sequential(*parts, *conv_norm(width, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x) if self.residual else self.branch(x)


class EfficientNetB0(nn.Module):
    """Pictures ``(batch, 3, 224, 224)`` to logits ``(batch, 1000)``."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [*conv_norm(3, 32, 3, 2), nn.SiLU()]
        channels = 32
        for expansion, kernel, stride, outputs, repeats in STAGES:
            for index in range(repeats):
                step = 1 if index else stride
                parts.append(MBConv(channels, outputs, expansion, kernel, step))
                channels = outputs
        parts += [*conv_norm(channels, 1280, 1), nn.SiLU()]
        self.features = nn.Sequential(*parts)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = functional.adaptive_avg_pool2d(self.features(image), 1)
        return self.head(features.flatten(1))


def efficientnet_b0(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """EfficientNet-B0 (5.29 M parameters, 0.39 G multiply-adds)."""
    module = settled(EfficientNetB0, seed, imagenet_pictures)
    return module, (torch.zeros(1, 3, 224, 224),)
