"""Time series to outputs: LSTM or GRU layers; the last step feeds a linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn


def sequence(
    shape: Sequence[int],
    outputs: int,
    *,
    cell: Literal["lstm", "gru"] = "lstm",
    width: int = 128,
    layers: int = 1,
    both_ways: bool = True,
    pooled: bool = True,
) -> nn.Module:
    """``(batch, steps)`` or ``(batch, steps, features)`` to ``(batch, outputs)``.

    ``pooled`` takes the largest value over all steps, in place of the last step alone.
    """
    import torch
    from torch import nn

    class SequenceClassifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
            features = shape[1] if len(shape) > 1 else 1
            self.cells = kind(
                features, width, num_layers=layers, batch_first=True, bidirectional=both_ways
            )
            self.head = nn.Linear(width * (2 if both_ways else 1), outputs)

        def forward(self, series: torch.Tensor) -> torch.Tensor:
            steps, _ = self.cells(series if series.ndim == 3 else series[..., None])
            return self.head(steps.amax(1) if pooled else steps[:, -1])  # type: ignore[no-any-return]

    return SequenceClassifier()
