"""The family that trains and runs one and the same network, each in its own framework."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from hasten.plugin.base import Plugin


@dataclass(frozen=True)
class Layer:
    """One layer of a network as every framework can build it, with its first weights.

    Weights are float32 in PyTorch's layouts: ``weight`` of a convolution ``(out, in, height,
    width)``, of a linear layer ``(out, in)``; of a recurrent layer, per direction, ``(gates *
    width, in)`` and ``(gates * width, width)``. Pictures come as ``(batch, channels, height,
    width)``, series as ``(batch, steps, features)``.

    ==================  ======================================  ==============================
    kind                weights                                 numbers
    ==================  ======================================  ==============================
    ``convolution``     ``weight``, ``bias`` or none            ``stride``, ``padding``
    ``batch_norm``      ``weight bias mean variance``           ``momentum``, ``epsilon``, ``rank``
    ``relu``, ``gelu``
    ``max_pool``                                                ``size``
    ``mean_pixels``, ``largest_pixel``
    ``linear``          ``weight``, ``bias`` or none
    ``lstm``, ``gru``   ``input_n recurrent_n bias_n hidden_n``  ``width``, ``directions``
    ``largest_step``, ``last_step``
    ==================  ======================================  ==============================
    """

    kind: str
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """What every framework learns alike: the layers with their first weights, samples ``x``
    ``(n, ...)`` float32 of classes ``y`` ``(n,)`` int64, and the numbers of SGD with momentum."""

    layers: Sequence[Layer]
    x: np.ndarray
    y: np.ndarray
    learning_rate: float
    momentum: float


class Net(ABC):
    """A network in one framework, with the samples that it learns from, in the way that framework
    keeps them. Stochastic gradient descent with momentum, mean cross-entropy, fp32."""

    @abstractmethod
    def train(self, rows: np.ndarray) -> float:
        """One step for every row of sample numbers ``(steps, batch)``, and wait for the last; its
        loss."""

    @abstractmethod
    def ready(self, x: np.ndarray) -> Any:
        """Inputs ``(n, ...)`` as ``logits`` takes them."""

    @abstractmethod
    def logits(self, x: Any) -> Any:
        """The outputs ``(n, classes)`` for ready inputs, waited for."""

    def close(self) -> None:  # noqa: B027  # most have nothing to give back
        """Free what it holds."""


class Framework(Plugin):
    """One framework, and how its own documentation trains and runs a network with it."""

    family = "frameworks"
    extra = "frameworks"
    title: ClassVar[str]
    environment: ClassVar[Mapping[str, str]] = {}
    """Variables that its process needs before anything is imported."""
    kinds: ClassVar[frozenset[str]] = frozenset(
        [
            "convolution",
            "batch_norm",
            "relu",
            "gelu",
            "max_pool",
            "mean_pixels",
            "largest_pixel",
            "linear",
            "lstm",
            "gru",
            "largest_step",
            "last_step",
        ]
    )

    @abstractmethod
    def load(self) -> None:
        """Import it, with what its first use would import."""

    def lacks(self, layers: Sequence[Layer]) -> list[str]:
        """Kinds of layers that it cannot build."""
        return sorted({layer.kind for layer in layers} - self.kinds)

    @abstractmethod
    def build(self, lesson: Lesson) -> Net:
        """The network, with the samples that it learns from."""
