"""Optimisers and schedules by name, as recipes and users write them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hasten.errors import UnknownName

if TYPE_CHECKING:
    import torch

WARM_UP_SHARE = 0.2


def optimizer(
    name: str,
    learning_rate: float,
    *,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
) -> Callable[[torch.nn.Module], torch.optim.Optimizer]:
    """Makes the optimiser ``"sgd"``, ``"adam"`` or ``"adamw"`` of a module.

    Weight decay pulls on matrices and filters alone: on biases and normalisations it does harm.
    """
    known = ("adam", "adamw", "sgd")
    if name not in known:
        raise UnknownName.among("optimizer", name, known)

    def make(module: torch.nn.Module) -> torch.optim.Optimizer:
        import torch

        weights = [p for p in module.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if name == "sgd":
            return torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=True)
        kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
        return kind(groups, lr=learning_rate)

    return make


def one_cycle(share: float) -> float:
    """Up in a straight line over the first fifth of the run, then down to zero along a cosine."""
    if share < WARM_UP_SHARE:
        return share / WARM_UP_SHARE
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)))


def triangle(share: float) -> float:
    """Up in a straight line over the first fifth of the run, then straight down to zero."""
    return min(share / WARM_UP_SHARE, (1 - share) / (1 - WARM_UP_SHARE))


def linear(share: float) -> float:
    """Straight down to zero from the first step: for steps whose strength does not depend on the
    gradient's, as Muon's, so that nothing has to warm up."""
    return 1 - share


def constant(share: float) -> float:
    """The same learning rate all the time."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "one-cycle": one_cycle,
    "triangle": triangle,
    "linear": linear,
    "constant": constant,
}


def schedule(name: str) -> Callable[[float], float]:
    """The schedule called ``name``."""
    if name not in SCHEDULES:
        raise UnknownName.among("schedule", name, SCHEDULES)
    return SCHEDULES[name]
