"""What the roads answer: a result to call, save and read, and the plans of a dry run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hasten.bundle import Bundle, load
from hasten.search.store import write_aside
from hasten.types import Plan


class Result:
    """What a search found: call it like the model, save it, or read its evidence.

    ``path`` is the bundle's folder; it is a temporary one if ``out`` was not given.
    """

    def __init__(self, path: Path, evidence: Mapping[str, Any], *, temporary: bool) -> None:
        self.path = path
        self.evidence = evidence
        self.temporary = temporary
        self._bundle: Bundle | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the search early."""
        return bool(self.evidence["verdict"]["interrupted"])

    @property
    def speedup(self) -> float:
        """How many times faster than the reference it was proven to be (1 where it was kept)."""
        ratio = self.evidence["final"]["ratio"]
        return float(ratio["value"]) if ratio else 1.0

    @property
    def bundle(self) -> Bundle:
        """The winner (or the original), loaded from its bundle when first asked for."""
        if self._bundle is None:
            self._bundle = load(self.path, trust=True)
        return self._bundle

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        return self.bundle(*arrays, **named)

    def save(self, path: str | Path) -> Path:
        """Copy the bundle to ``path``, whole or not at all."""
        with write_aside(Path(path)) as folder:
            shutil.copytree(self.path, folder, dirs_exist_ok=True)
        return Path(path)

    def to_json(self) -> dict[str, Any]:
        """The evidence, with the place of the bundle."""
        return {**self.evidence, "bundle": None if self.temporary else str(self.path)}

    def __repr__(self) -> str:
        return f"<hasten.Result: {self.evidence['verdict']['sentence']}>"


class DryRun:
    """The plans of a search with their estimated seconds, and what was pruned and why."""

    def __init__(self, plans: list[tuple[Plan, float]], pruned: list[str]) -> None:
        self.plans = plans
        self.pruned = pruned

    @property
    def minutes(self) -> float:
        return sum(seconds for _, seconds in self.plans) / 60

    def to_json(self) -> dict[str, Any]:
        return {
            "plans": [
                {"name": plan.name, "plan": plan.to_json(), "seconds": seconds}
                for plan, seconds in self.plans
            ],
            "minutes": self.minutes,
            "pruned": self.pruned,
        }
