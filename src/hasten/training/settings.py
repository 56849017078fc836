"""What the user asked of a training run, checked before anything is read or written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from hasten import plugin
from hasten.errors import BadInput

CHANGEABLE = ("target", "budget_seconds", "tta", "checkpoint_seconds")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The options of ``train``; see there for what each means. ``None``: the recipe's own."""

    epochs: float | None = None
    batch: int | None = None
    learning_rate: float | None = None
    optimizer: str | None = None
    schedule: str | None = None
    loss: str | None = None
    metric: str | None = None
    target: float | None = None
    budget_seconds: float | None = None
    patience: int | None = None
    clip: float | None = None
    accumulate: int | None = None
    folds: int | None = None
    seed: int = 0
    deterministic: bool = False
    plan: bool = True
    clean: bool = False
    near_copies: bool = False
    keep: float | None = None
    threads: int | None = None
    device: str | None = None
    speedups: Mapping[str, Mapping[str, Any]] | None = None
    without: Sequence[str] | None = None
    tta: bool = False
    resume: bool = False
    out: Path | None = None
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("batch", "patience", "threads", "accumulate"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
                raise BadInput(f"Cannot use --{name} {value}: it must be a whole number from 1 on.")
        for name in ("epochs", "learning_rate", "budget_seconds", "clip"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                option = name.removesuffix("_seconds").replace("_", "-")
                raise BadInput(f"Cannot use --{option} {value}: it must be above 0.")
        if self.folds is not None and not (self.folds == int(self.folds) and self.folds >= 2):
            raise BadInput(f"Cannot use --folds {self.folds}: it must be 2 or more.")
        if self.keep is not None and not 0 < self.keep < 1:
            raise BadInput(f"Cannot use --keep {self.keep}: it must be above 0 and below 1.")
        if self.target is not None and not math.isfinite(self.target):
            raise BadInput(f"Cannot use --target {self.target}: it must be a finite number.")
        if not 0 <= self.seed < 2**63:
            raise BadInput(f"Cannot use --seed {self.seed}: it must be 0 or more.")
        self._check_speedups()

    def _check_speedups(self) -> None:
        """Names and options are known before anything is read."""
        for name, options in (self.speedups or {}).items():
            plugin.speedups.get(name).options(options)
            if name in (self.without or ()):
                raise BadInput(
                    f"Cannot use --speedup {name} and --without {name} together: give one of them."
                )
        for name in self.without or ():
            plugin.speedups.get(name)

    def like(self, earlier: Mapping[str, Any]) -> TrainSettings:
        """These settings, and those of an earlier run wherever nothing was given."""
        usual = {field.name: field.default for field in fields(self)}
        kept = {
            name: value
            for name, value in earlier.items()
            if name in usual and getattr(self, name) == usual[name]
        }
        return replace(self, **kept)

    def identity(self) -> dict[str, Any]:
        """The settings that decide what is learned: a run goes on only under the same."""
        where = {"resume", "out", "plan", *CHANGEABLE}
        return {name: value for name, value in asdict(self).items() if name not in where}

    def changeable(self) -> dict[str, Any]:
        """Those that may be others when a run goes on; they are kept beside what was asked."""
        return {name: getattr(self, name) for name in CHANGEABLE}
