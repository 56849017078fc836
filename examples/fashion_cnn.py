"""A small CNN for grey pictures, and where its trained weights are kept.

    python examples/train_fashion.py                       trains it once, in a few minutes
    hasten optimize examples.fashion_cnn:cnn --data fashion-mnist -o fast.hasten

A factory gives ``(module, example inputs)``. ``digits_cnn`` is the same for the embedded digits,
whose weights take seconds to train; ``digits_held_out`` are the digits that it never saw.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from hasten import Data, HastenError
from hasten.data import load
from hasten.search.store import cache_folder

DIGITS_FOR_TRAINING = 897


class ConvNorm(nn.Sequential):
    """A 3x3 convolution, BatchNorm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class SmallCNN(nn.Module):
    """Grey pictures ``(batch, 1, side, side)`` to logits ``(batch, 10)``.

    A first convolution, then for each further width: halve the picture, convolve twice.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        parts: list[nn.Module] = [ConvNorm(1, widths[0])]
        for before, width in pairwise(widths):
            parts += [nn.MaxPool2d(2), ConvNorm(before, width), ConvNorm(width, width)]
        self.features = nn.Sequential(*parts)
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean((2, 3)))


def untrained(data: str) -> SmallCNN:
    """The module for ``"fashion-mnist"`` or ``"digits"``, with PyTorch's initial weights."""
    return SmallCNN() if data == "fashion-mnist" else SmallCNN((16, 32))


def weights_path(data: str) -> Path:
    """Where the trained weights are kept: in the user's cache, never in the repository."""
    return cache_folder() / "examples" / f"{data}-cnn.safetensors"


def trained(data: str) -> SmallCNN:
    """The module with its trained weights, in eval mode."""
    path = weights_path(data)
    if not path.exists():
        raise HastenError(
            f"Cannot load the CNN for {data}: it is not trained yet. "
            f"Run: python examples/train_fashion.py --data {data}"
        )
    module = untrained(data)
    module.load_state_dict(load_file(path))
    return module.eval()


def cnn() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The trained Fashion-MNIST CNN."""
    return trained("fashion-mnist"), (torch.zeros(1, 1, 28, 28),)


def digits_cnn() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The trained CNN for the embedded digits."""
    return trained("digits"), (torch.zeros(1, 1, 8, 8),)


def digits_held_out() -> Data:
    """The embedded digits that ``train_fashion.py`` keeps for testing."""
    data = load("digits")
    return replace(data.take(np.arange(DIGITS_FOR_TRAINING, len(data))), name="digits (held out)")
