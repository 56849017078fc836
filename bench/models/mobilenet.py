"""MobileNetV3-small.

**Source:** Howard et al., "Searching for MobileNetV3", arXiv:1905.02244, table 2.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bench.models.weights import settled
from bench.samples import imagenet_pictures

#: kernel, expanded channels, output channels, squeeze and excite, activation, stride
BLOCKS: tuple[tuple[int, int, int, bool, type[nn.Module], int], ...] = (
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
)


def multiple_of_eight(channels: float) -> int:
    """The nearest multiple of 8 that is not below 90 % of ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without bias and its BatchNorm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return [conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]


class SqueezeExcite(nn.Module):
    """Scales each channel by what the mean over the picture says."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = multiple_of_eight(channels / 4)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = functional.adaptive_avg_pool2d(x, 1)
        scale = self.expand(functional.relu(self.reduce(scale)))
        return x * functional.hardsigmoid(scale)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, squeeze and excite, project; add the input where it fits."""

    def __init__(
        self,
        inputs: int,
        kernel: int,
        expanded: int,
        outputs: int,
        excite: bool,
        activation: type[nn.Module],
        stride: int,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        parts: list[nn.Module] = []
        if expanded != inputs:
            parts += [*conv_norm(inputs, expanded, 1), activation()]
        parts += [*conv_norm(expanded, expanded, kernel, stride, expanded), activation()]
        if excite:
            parts.append(SqueezeExcite(expanded))
        self.branch = nn.Sequential(*parts, *conv_norm(expanded, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x) if self.residual else self.branch(x)


class MobileNetV3Small(nn.Module):
    """Pictures ``(batch, 3, 224, 224)`` to logits ``(batch, 1000)``."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [*conv_norm(3, 16, 3, 2), nn.Hardswish()]
        channels = 16
        for kernel, expanded, outputs, excite, activation, stride in BLOCKS:
            block = (kernel, expanded, outputs, excite, activation, stride)
            parts.append(InvertedResidual(channels, *block))
            channels = outputs
        parts += [*conv_norm(channels, 576, 1), nn.Hardswish()]
        self.features = nn.Sequential(*parts)
        self.head = nn.Sequential(
            nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1024, 1000)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = functional.adaptive_avg_pool2d(self.features(image), 1)
        return self.head(features.flatten(1))


def mobilenet_v3_small(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """MobileNetV3-small (2.54 M parameters, 57 M multiply-adds)."""
    module = settled(MobileNetV3Small, seed, imagenet_pictures)
    return module, (torch.zeros(1, 3, 224, 224),)
