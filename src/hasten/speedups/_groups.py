"""An optimiser made anew with other parameter groups or settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRIVATE = ("fused", "foreach", "decoupled_weight_decay")
"""Defaults that constructors do not take, or that are chosen anew."""


def rebuilt(
    plain: torch.optim.Optimizer, groups: list[dict[str, Any]], **changes: Any
) -> torch.optim.Optimizer:
    """An optimiser of the same kind and settings over ``groups``; ``changes`` hold in all."""
    kept = {name: value for name, value in plain.defaults.items() if name not in PRIVATE}
    kind: Any = type(plain)
    made: torch.optim.Optimizer = kind(
        [{**group, **changes} for group in groups], **kept, **changes
    )
    return made
