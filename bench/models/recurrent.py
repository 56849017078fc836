"""Recurrent classifiers: an LSTM over sequences, and a CNN with an LSTM over video frames.

**Source:** Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997), as ``torch.nn.LSTM``;
the CNN+LSTM follows Donahue et al., "Long-term Recurrent Convolutional Networks",
arXiv:1411.4389, with a small CNN for frames of 64 pixels.
"""

from __future__ import annotations

import torch
from torch import nn

from bench.models.weights import seeded, settled
from bench.samples import clips


def _lively(lstm: nn.LSTM) -> nn.LSTM:
    """Initialise as Keras does; with PyTorch's defaults the input hardly reaches the output."""
    for name, weight in lstm.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(weight)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(weight)
        else:
            nn.init.zeros_(weight)
    return lstm


class SequenceClassifier(nn.Module):
    """Sequences ``(batch, 128, 64)`` to logits ``(batch, 10)``: two LSTM layers of 256."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = _lively(nn.LSTM(64, 256, num_layers=2, batch_first=True))
        self.head = nn.Linear(256, 10)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        steps, _ = self.lstm(sequence)
        return self.head(steps[:, -1])


class ClipClassifier(nn.Module):
    """Clips ``(batch, 16, 3, 64, 64)`` to logits ``(batch, 101)``: a CNN per frame, one LSTM."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 128), (128, 128)):
            parts += [
                nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.frame = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.lstm = _lively(nn.LSTM(128, 256, batch_first=True))
        self.head = nn.Linear(256, 101)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        frames = self.frame(clip.flatten(0, 1)).unflatten(0, (-1, clip.shape[1]))
        steps, _ = self.lstm(frames)
        return self.head(steps[:, -1])


def lstm(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The LSTM classifier (0.86 M parameters)."""
    return seeded(SequenceClassifier, seed), (torch.zeros(1, 128, 64),)


def cnn_lstm(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The CNN+LSTM over 16 frames (0.66 M parameters)."""
    return settled(ClipClassifier, seed, clips), (torch.zeros(1, 16, 3, 64, 64),)
