"""The rows of the training race: data, network, and the accuracy to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from bench.training import clips
from hasten import data as sources
from hasten.errors import UnknownName
from hasten.training.parts import divide
from hasten.types import Data


@dataclass(frozen=True)
class Row:
    """``recipe`` names the network that all contenders train, with the recipe's own numbers;
    ``changed`` is what Hasten trains it with instead; ``target`` is test accuracy, 0 to 1.
    ``epochs`` is what Hasten trains where the goal is a time, not the fewest epochs; it was chosen
    before the race, after runs on a tuning seed."""

    name: str
    title: str
    data: Callable[[], Data]
    recipe: str
    target: float
    changed: Mapping[str, Any] = field(default_factory=dict)
    epochs: float | None = None


def _divided(data: Data, validation: int | None) -> Data:
    """All contenders get the same parts, whatever the seed of a run is; with ``validation`` so many
    samples of the training part validate."""
    if validation is not None:
        drawn = np.random.default_rng(0).permutation(data.splits["train"])
        own = {"validation": np.sort(drawn[:validation]), "train": np.sort(drawn[validation:])}
        data = replace(data, splits={**data.splits, **own})
    parts = divide(data, seed=0)
    splits = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return replace(data, splits=splits)


def named(name: str, validation: int | None = None) -> Callable[[], Data]:
    """A published data set in fixed parts."""
    return lambda: _divided(sources.load(name), validation)


ROWS = {
    row.name: row
    for row in (
        Row(
            "fashion-mnist",
            "Fashion-MNIST, CNN",
            named("fashion-mnist"),
            "cnn",
            0.935,
            {"speedups": {"whitening": {}}},
        ),
        Row(
            "cifar10",
            "CIFAR-10, CNN",
            named("cifar10", 1000),
            "tapered",
            0.925,
            {"batch": 512},
            epochs=7.5,
        ),
        # What the plain loop reached in pilots: after 5 epochs (0.985), and after 39 (0.686).
        Row("motion", "Moving Fashion-MNIST, CNN + LSTM", clips.data, "video", 0.98),
        Row("crop", "Crop (UCR), LSTM", named("ucr:Crop"), "sequence", 0.68),
    )
}
TRIALS = {"digits": Row("digits", "digits: a trial", named("digits"), "cnn", 0.9)}
"""To try the race itself in seconds; no result."""


def get(name: str) -> Row:
    """The row called ``name``."""
    known = {**ROWS, **TRIALS}
    if name not in known:
        raise UnknownName.among("row", name, known)
    return known[name]


class Begins(Protocol):
    """Takes down when preparing ended."""

    def __call__(self, ago: float = 0.0) -> None: ...


@dataclass(frozen=True)
class Job:
    """One run of one contender: arrays as stored (uint8 or float32), labels int64.

    ``seed`` is for weights and order; ``epochs`` was fixed on other seeds. ``begins`` is told when
    everything was prepared and the first step was next: now, or so many seconds ago.
    """

    row: Row
    data: Data
    seed: int
    epochs: float
    begins: Begins

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Inputs of one part as they are stored, and its labels, int64."""
        rows = self.data.splits[name]
        ((_, array),) = self.data.inputs.items()
        labels = np.asarray(self.data.labels)[rows]
        return np.asarray(array[rows]), labels.astype(np.int64)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """What normalises the inputs, ``x * scale + shift``, from the training part; computed by
        each contender in its own time."""
        from hasten.training.parts import normalisation

        ((_, array),) = self.data.inputs.items()
        found = normalisation(array, self.data.splits["train"])
        if found is None:
            return np.ones([1] * array.ndim, np.float32), np.zeros([1] * array.ndim, np.float32)
        return found.affine(array.ndim)

    def numbers(self) -> Mapping[str, Any]:
        """The recipe's training numbers."""
        from hasten import recipes

        return recipes.named(self.row.recipe).training

    def network(self) -> Any:
        """The ``nn.Module`` that all contenders train, initialised from the seed."""
        import torch

        from hasten import recipes

        torch.manual_seed(self.seed)
        ((_, array),) = self.data.inputs.items()
        classes = int(np.asarray(self.data.labels).max()) + 1
        return recipes.named(self.row.recipe).module(array.shape[1:], classes)
