"""How a long road tells what it is doing: it speaks to ``Progress``, the terminal draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hasten.types import Trial


class Progress:
    """Told what happens, in order. This one says nothing; override what you want to show."""

    def stage(self, text: str, total: int | None = None) -> None:
        """A new stage begins; ``total`` is its number of steps where it is known."""

    def doing(self, text: str) -> None:
        """What is being built or measured right now."""

    def done(self, trial: Trial) -> None:
        """A candidate was built, or failed."""

    def best(self, text: str) -> None:
        """The best candidate so far, in words."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def deadline(self, seconds: float) -> None:
        """How many seconds of the budget are left."""


class TrainingProgress(Progress):
    """Told, besides, how a training run goes. This one says nothing."""

    def fitting(self, metric: str, steps: int, per_epoch: int) -> None:
        """The steps begin: how many there are in all, and what judges every epoch."""

    def step(self, done: int, total: int, loss: float, per_second: float) -> None:
        """A step has ended; ``per_second`` counts samples, since the epoch began."""

    def epoch(self, line: Mapping[str, Any], total: float) -> None:
        """An epoch has been judged: its line of ``metrics.jsonl``, and the epochs planned."""
