"""ONNX's operators as functions of PyTorch, one file per group.

**Source:** the operator sets 7 to 26 of ONNX. A function takes the node and the values of its
inputs and gives the value of its output, or a tuple of them. What an operator is not sure to
compute as ONNX says, it refuses by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from hasten.errors import Unsupported

GROUPS = (
    "elementwise",
    "shapes",
    "indexing",
    "reduction",
    "layers",
    "pooling",
    "resizing",
    "recurrent",
    "losses",
    "quantized",
    "signals",
    "control",
)


@dataclass(frozen=True)
class Call:
    """One node as its function sees it: attributes with texts decoded, the operator set in use, how
    many outputs are wanted, ``inner``: its subgraphs by attribute, and ``captured``: the names of
    what these take from outside, whose values come after those of the inputs."""

    name: str
    kind: str
    opset: int
    attributes: dict[str, Any]
    outputs: int
    inner: dict[str, Any] = field(default_factory=dict)
    captured: tuple[str, ...] = ()

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def refuse(self, why: str) -> Unsupported:
        """The error for what this operator does not do here."""
        return Unsupported(
            f"Operator {self.kind} (node '{self.name}') is not supported: {why}. Use an engine "
            "that runs ONNX models as they are, or export the model without it."
        )


@dataclass(frozen=True)
class Operator:
    """A function with what is known about its inputs."""

    function: Callable[..., Any]
    weights: frozenset[int]
    host: frozenset[int]
    raw: bool
    """Whether it takes host arrays as they are; others get tensors, but for ``host`` places."""


OPERATORS: dict[str, Operator] = {}


def operator(
    *kinds: str, weights: Collection[int] = (), host: Collection[int] = (), raw: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the function for these operators of the standard domain."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for kind in kinds:
            OPERATORS[kind] = Operator(function, frozenset(weights), frozenset(host), raw)
        return function

    return register


def known() -> dict[str, Operator]:
    """All operators."""
    for group in GROUPS:
        importlib.import_module(f"{__name__}.{group}")
    return OPERATORS
