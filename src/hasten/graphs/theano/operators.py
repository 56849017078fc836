"""What an operator of a graph sees, and where its function is registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hasten.errors import Unsupported

MOST_STEPS = 4096
WHOLE = "iubO"
"""Kinds of host arrays that hold whole numbers or symbols."""
SCALARS = {
    "Add": "Sum",
    "Maximum": "Max",
    "Minimum": "Min",
    "Mul": "Prod",
    "ScalarMaximum": "Max",
    "ScalarMinimum": "Min",
}
"""Reductions by the operator that joins two values."""
NOTHING = 2**62
"""Stands for a bound that a slice leaves out."""
Function = Callable[..., Any]
OPERATORS: dict[str, Function] = {}
KINDS = {
    "bool": torch.bool,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Call:
    """One node: its operator, its properties, and the kinds of numbers that it gives."""

    name: str
    kind: str
    properties: dict[str, Any]
    gives: tuple[str, ...]
    inner: Any = None

    def get(self, name: str, default: Any = None) -> Any:
        found = self.properties.get(name)
        return default if found is None else found

    def refuse(self, why: str) -> Unsupported:
        """The error for what this operator does not do here."""
        return Unsupported(f"Operator {self.kind} ('{self.name}') is not supported: {why}.")


def operator(*kinds: str) -> Callable[[Function], Function]:
    """Registers the function for these operators."""

    def register(function: Function) -> Function:
        OPERATORS.update(dict.fromkeys(kinds, function))
        return function

    return register


def kind_of(call: Call, place: int = 0) -> torch.dtype:
    return KINDS.get(call.gives[place], torch.float32)


def promoted(values: Sequence[Tensor]) -> list[Tensor]:
    """All in the kind that holds them all. NumPy finds it: PyTorch's own function would be captured
    with the graph."""
    names = {kind: name for name, kind in KINDS.items()}
    if any(value.dtype not in names for value in values):
        return list(values)
    kind = KINDS[np.result_type(*(np.dtype(names[value.dtype]) for value in values)).name]
    return [value.to(kind) for value in values]
