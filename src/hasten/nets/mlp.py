"""Vectors to outputs: linear layers with normalisation and ReLU between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def mlp(
    shape: Sequence[int],
    outputs: int,
    *,
    widths: Sequence[int] = (256, 256),
    dropout: float = 0.0,
) -> nn.Module:
    """``(batch, *shape)`` to ``(batch, outputs)``; anything but a vector is flattened."""
    from torch import nn

    parts: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
    before = math.prod(shape)
    for width in widths:
        parts += [nn.Linear(before, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        if dropout:
            parts.append(nn.Dropout(dropout))
        before = width
    return nn.Sequential(*parts, nn.Linear(before, outputs))
