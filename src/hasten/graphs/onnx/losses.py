"""Losses, as exported training graphs have them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hasten.graphs.onnx import Call, operator


@operator("SoftmaxCrossEntropyLoss")
def cross_entropy(call: Call, scores: Tensor, labels: Tensor, weight: Tensor | None = None) -> Any:
    shares = torch.log_softmax(scores, 1)
    loss = _likelihood(call, shares, labels, weight)
    return (loss, shares) if call.outputs > 1 else loss


@operator("NegativeLogLikelihoodLoss")
def likelihood(call: Call, shares: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    return _likelihood(call, shares, labels, weight)


def _likelihood(call: Call, shares: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
    ignored = call.get("ignore_index")
    labels = labels.to(torch.int64)
    counted = torch.ones_like(labels, dtype=torch.bool) if ignored is None else labels != ignored
    rows = torch.where(counted, labels, 0)
    losses = -shares.gather(1, rows.unsqueeze(1)).squeeze(1)
    weights = counted.to(shares.dtype) if weight is None else weight[rows] * counted
    losses = losses * weights
    how = call.get("reduction", "mean")
    if how == "none":
        return losses
    return losses.sum() if how == "sum" else losses.sum() / weights.sum()
