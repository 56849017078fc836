"""A training run as its folder holds it, read once: names, figures and epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from hasten.report.record import printable
from hasten.report.units import NONE, Metric, digits
from hasten.types import Use

Epoch = Mapping[str, Any]


class RunRecord:
    """``raw`` is ``run.json``; ``epochs`` the lines of ``metrics.jsonl``; ``examples`` the worst
    mistakes."""

    def __init__(
        self,
        record: Mapping[str, Any],
        epochs: Sequence[Epoch],
        examples: Mapping[str, Any],
    ) -> None:
        self.raw: Mapping[str, Any] = printable(record)
        self.epochs: list[Epoch] = printable(list(epochs))
        self.examples: Mapping[str, Any] = printable(examples)
        self.metric = Metric(self.raw["metric"], floor=True)
        self.task: str = self.raw["data"]["task"]

    @property
    def value(self) -> float:
        """The metric on the test part."""
        return float(self.raw["test"]["value"])

    @property
    def n(self) -> int:
        return int(self.raw["test"]["n"])

    @cached_property
    def best(self) -> Epoch | None:
        """The epoch whose weights answer."""
        name, best = self.raw["metric"], self.raw["best"]
        return next((line for line in self.epochs if line[name] == best), None)

    def name(self, number: int) -> str:
        """What a class or label is called."""
        known = self.raw["classes"]
        return str(known[number]) if number < len(known) else str(number)

    def names(self, numbers: Sequence[int], most: int = 4) -> str:
        """Several labels in one text."""
        shown = [self.name(number) for number in numbers[:most]]
        more = [f"{len(numbers) - most} more"] if len(numbers) > most else []
        return ", ".join([*shown, *more]) or "none"

    @property
    def folds(self) -> list[Mapping[str, Any]]:
        """What every fold gave; empty for a single training."""
        return list(self.raw.get("folds") or [])

    @cached_property
    def confusion(self) -> list[list[int]]:
        """How often each class (row) was taken for each (column); empty for other tasks."""
        return [list(row) for row in self.raw.get("confusion") or []]

    @cached_property
    def changed(self) -> list[str]:
        """The speed-ups that change what is learned, as they are used."""
        if "learned" in self.raw:
            listed = [Use.from_json(use) for use in self.raw["learned"]["used"]]
        else:  # an older run
            asked = self.raw["recipe"].get("speedups") or {}
            listed = [Use.of(name, **options) for name, options in asked.items()]
        planned = [Use.from_json(row["use"]) for row in self.raw["plan"] if _changes(row)]
        return list(dict.fromkeys(map(str, [*listed, *planned])))

    @property
    def tried(self) -> list[Mapping[str, Any]]:
        """The planner's rows: what leaves learning alone, and what was timed all the same."""
        return list(self.raw["plan"])


def _changes(row: Mapping[str, Any]) -> bool:
    """Whether a row of the plan is in use and changes what is learned."""
    return row["kind"] != "system" and bool(row["kept"])


def number(value: Any, significant: int = 4) -> str:
    """A figure that may be missing."""
    return NONE if value is None else digits(float(value), significant)
