"""What an operator of MXNet sees, and where its function is registered."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hasten.errors import BadModel, Unsupported

MOST = 10_000
"""Outputs of one node."""
Function = Callable[..., Any]
OPERATORS: dict[str, Function] = {}


@dataclass(frozen=True)
class Call:
    """One node: its name, its operator, and its attributes, which MXNet writes as texts."""

    name: str
    kind: str
    attributes: Mapping[str, str]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute as a Python value; a text that is none stays a text."""
        found = self.attributes.get(name)
        if found is None:
            return default
        if len(found) > 10_000:
            raise self.refuse(f"its attribute {name} is too long")
        try:
            return ast.literal_eval(found)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return found

    def count(self, name: str, default: int = 1) -> int:
        """How many there are of something."""
        found = self.get(name, default)
        if not isinstance(found, int) or not 0 < found <= MOST:
            raise BadModel(f"Cannot read the network: {name} of node '{self.name}' is {found!r}.")
        return found

    def sizes(self, name: str, rank: int, default: int) -> list[int]:
        """One number per dimension."""
        found = self.get(name)
        if not found:
            return [default] * rank
        return list(found) if isinstance(found, tuple | list) else [found] * rank

    def flag(self, name: str, default: bool) -> bool:
        """A truth value, which old files write as 0 and 1."""
        return self.get(name, default) in (True, 1, "true")

    def refuse(self, why: str) -> Unsupported:
        """The error for what this operator does not do here."""
        return Unsupported(
            f"Operator {self.kind} (node '{self.name}') of MXNet is not supported: {why}."
        )


def operator(*kinds: str) -> Callable[[Function], Function]:
    """Registers the function for these operators."""

    def register(function: Function) -> Function:
        OPERATORS.update(dict.fromkeys(kinds, function))
        return function

    return register
