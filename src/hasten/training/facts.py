"""What is found out about a model: its answers, its mistakes, and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hasten.training.loop import EVALUATION_BATCH
from hasten.training.samples import Samples
from hasten.types import Data

if TYPE_CHECKING:
    import torch


def answers(model: torch.nn.Module, samples: Samples) -> np.ndarray:
    """Outputs of a module in evaluation mode, fp32."""
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(samples), EVALUATION_BATCH):
            numbers = np.arange(start, min(start + EVALUATION_BATCH, len(samples)))
            inputs, _ = samples.batch(numbers)
            found.append(model(*inputs).numpy())
    return np.concatenate(found)


def confusion(outputs: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """How often each class (row) was taken for each (column)."""
    classes = outputs.shape[1]
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, outputs.argmax(axis=1)), 1)
    return table.tolist()


def traits(module: torch.nn.Module, data: Data) -> frozenset[str]:
    """What speed-ups ask for."""
    import torch

    kinds = {type(part) for part in module.modules()}
    found = set()
    if torch.nn.Conv2d in kinds:
        found.add("convolution")
    if kinds & {torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN}:
        found.add("recurrent")
    ranks = {array.ndim for array in data.inputs.values()}
    if ranks == {4}:
        found.add("pictures")
    if ranks == {5}:
        found.add("clips")
    return frozenset(found)
