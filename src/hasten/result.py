"""What the roads answer: a result to call, save and read, and the plans of a dry run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hasten.bundle import Bundle, load
from hasten.errors import Unsupported
from hasten.manifest import check_place
from hasten.search.store import write_aside
from hasten.types import Plan


class Result:
    """What a search found: call it like the model, save it, or read its evidence.

    ``path`` is the bundle's folder, a temporary one if ``out`` was not given; ``None`` for a live
    model that no form could hold, which comes as ``bundle`` and lives only in this process.
    """

    def __init__(
        self,
        path: Path | None,
        evidence: Mapping[str, Any],
        *,
        temporary: bool,
        bundle: Bundle | None = None,
    ) -> None:
        self.path = path
        self.evidence = evidence
        self.temporary = temporary
        self._bundle = bundle

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
            self._bundle = load(self._folder, trust=True)
        return self._bundle

    @property
    def _folder(self) -> Path:
        if self.path is None:
            raise Unsupported(
                "Cannot save this result: the model could not be exported, so it lives only in "
                "this process. Give it as package.module:factory to keep it as a bundle."
            )
        return self.path

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        return self.bundle(*arrays, **named)

    def save(self, path: str | Path) -> Path:
        """Copy the bundle to ``path``, whole or not at all."""
        check_place(Path(path))
        with write_aside(Path(path)) as folder:
            shutil.copytree(self._folder, folder, dirs_exist_ok=True)
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
