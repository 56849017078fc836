"""Losses by task and by name: what is minimised."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hasten.errors import BadInput, UnknownName
from hasten.imports import working_folder_first

if TYPE_CHECKING:
    import torch

Loss = Callable[[Any, Any], "torch.Tensor"]
BY_TASK = {"classification": "cross-entropy", "multilabel": "bce", "regression": "mse"}


def cross_entropy(smoothing: float = 0.0) -> Loss:
    """Logits ``(n, classes)`` against class numbers ``(n,)``, or shares ``(n, classes)``."""
    from torch.nn import functional

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.float(), targets, label_smoothing=smoothing)

    return loss


def bce() -> Loss:
    """Logits ``(n, labels)`` against 0 or 1."""
    from torch.nn import functional

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(outputs.float(), targets.float())

    return loss


def _regression(name: str) -> Callable[[], Loss]:
    def make() -> Loss:
        from torch.nn import functional

        measure = getattr(functional, name)

        def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            wanted = targets.float()
            return measure(outputs.float().reshape(wanted.shape), wanted)  # type: ignore[no-any-return]

        return loss

    return make


KNOWN: dict[str, Callable[[], Loss]] = {
    "cross-entropy": cross_entropy,
    "bce": bce,
    "mse": _regression("mse_loss"),
    "mae": _regression("l1_loss"),
    "huber": _regression("huber_loss"),
}


def named(name: str | None, task: str) -> tuple[str, Loss]:
    """The loss called ``name``, or the one usual for ``task``, with its name.

    ``"package.module:function"`` is the user's own ``function(outputs, targets) -> scalar``.
    """
    name = name or BY_TASK.get(task)
    if name is None:
        raise BadInput(
            f"Cannot choose a loss for labels with task '{task}'. Name one with --loss: "
            f"{', '.join(KNOWN)}, or package.module:function."
        )
    if ":" in name:
        module, _, function = name.partition(":")
        try:
            with working_folder_first():
                return name, getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise BadInput(f"Cannot load the loss '{name}': {error}.") from error
    if name not in KNOWN:
        raise UnknownName.among("loss", name, KNOWN)
    return name, KNOWN[name]()
