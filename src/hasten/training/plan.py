"""The planner: every speed-up is tried here, with this model, before it is used.

Two setups are made real side by side and take their steps in turns, in an order drawn by lot; what
counts is the interval of their ratio. What changes the result of learning is not timed, but
reported apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hasten import plugin, stats
from hasten.errors import HastenError, Unsupported
from hasten.plugin import Facts
from hasten.plugin.training import Setup, Speedup
from hasten.training.loop import Trainer
from hasten.training.order import batch_count
from hasten.training.samples import FEEDS, Samples
from hasten.types import Ratio, Use

WORTH = 1.02
"""The least gain, at the interval's lower end, for which a speed-up is kept; one that leaves every
bit as it is stays unless it is slower."""
ROUNDS, LEAST_ROUNDS = 24, 8
SHARE_OF_RUN = 0.05
"""What planning may take of the time that training is expected to take."""
LEAST_SECONDS, MOST_SECONDS = 1.0, 6.0
BUDGET_SHARE = 0.9
"""The rest is for judging every epoch."""
TIMES_ITS_COST = 10.0
"""A speed-up with a price is tried if the run takes this many times as long."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was tried, what it gave, and whether it is used."""

    use: Use
    kind: str
    ratio: Ratio | None
    kept: bool
    why: str
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "use": self.use.to_json(),
            "kind": self.kind,
            "ratio": self.ratio.to_json() if self.ratio else None,
            "kept": self.kept,
            "why": self.why,
            "seconds": round(self.seconds, 3),
        }


class Planner:
    """Finds the setup for one run."""

    def __init__(
        self, samples: Samples, seed: int, target: Facts, say: Callable[[str], None]
    ) -> None:
        self.samples, self.seed, self.target, self.say = samples, seed, target, say
        self.rows: list[Row] = []
        self.step_seconds = 0.0

    def measured(self, setup: Setup) -> Setup:
        """The setup with every systems speed-up that wins here, each timed against without it."""
        self.step_seconds = self._seconds_per_step(setup)
        for speedup in _systems():
            setup = self._tried(speedup, setup)
        return setup

    def within(self, setup: Setup, seconds: float) -> Setup:
        """The setup with as many epochs as a budget allows: the schedule ends with it."""
        per_epoch = self.step_seconds * batch_count(len(self.samples), setup.batch)
        fit = max(1.0, BUDGET_SHARE * seconds / per_epoch)
        return replace(setup, epochs=min(setup.epochs, fit))

    def unmeasured(self, setup: Setup) -> Setup:
        """The setup with those speed-ups alone that leave every bit of the result as it is."""
        for speedup in _systems():
            if speedup.exact:
                setup = speedup(setup, self.target)
                self._note(speedup, None, True, "not timed: the run must be the same each time", 0)
        return setup

    def _seconds_per_step(self, setup: Setup) -> float:
        turns = _Turns(setup, self.samples, self.seed)
        turns.take()
        return min(turns.take() for _ in range(3))

    def _tried(self, speedup: Speedup, setup: Setup) -> Setup:
        """One speed-up: the setup to go on with."""
        self.say(f"trying {speedup.name}")
        began = time.perf_counter()
        run = self.step_seconds * _steps(setup, self.samples)
        try:
            if speedup.costs and run < TIMES_ITS_COST * speedup.typical_seconds:
                raise Unsupported(
                    f"it takes about {speedup.typical_seconds:.0f} s, the whole run {run:.0f} s"
                )
            changed = speedup(setup, self.target)
            opened = time.perf_counter()
            other = _Turns(changed, self.samples, self.seed)
            other.take()
            price = time.perf_counter() - opened
            ratio = self._ratio(_Turns(setup, self.samples, self.seed), other, run)
        except (HastenError, RuntimeError, TypeError, NotImplementedError) as error:
            why = str(error).partition("\n")[0]
            self._note(speedup, None, False, why, time.perf_counter() - began)
            return setup
        spent = time.perf_counter() - began
        if ratio.value < 1 if speedup.exact else ratio.low < WORTH:
            self._note(speedup, ratio, False, "no clear gain", spent)
            return setup
        saved = run * (1 - 1 / ratio.low)
        if speedup.costs and saved < price:
            why = f"it saves {saved:.0f} s and costs {price:.0f} s"
            self._note(speedup, ratio, False, why, spent)
            return setup
        self._note(speedup, ratio, True, f"saves about {saved:.0f} s of {run:.0f} s", spent)
        self.step_seconds /= ratio.value
        return changed

    def _ratio(self, before: _Turns, after: _Turns, run: float) -> Ratio:
        """How many times faster ``after`` is, from steps in turns."""
        limit = min(MOST_SECONDS, max(LEAST_SECONDS, SHARE_OF_RUN * run))
        ends = time.perf_counter() + limit
        rng = np.random.default_rng(self.seed)
        seconds: dict[int, list[float]] = {0: [], 1: []}
        pair = (before, after)
        before.take()
        while True:
            for which in rng.permutation(2):
                seconds[int(which)].append(pair[which].take())
            rounds = len(seconds[0])
            if rounds >= ROUNDS or (rounds >= LEAST_ROUNDS and time.perf_counter() > ends):
                return stats.ratio(seconds[0], seconds[1])

    def _note(
        self, speedup: Speedup, ratio: Ratio | None, kept: bool, why: str, seconds: float
    ) -> None:
        self.rows.append(Row(Use(speedup.name), speedup.kind, ratio, kept, why, seconds))


class _Turns:
    """A setup made real, one step at a time. Its steps are thrown away."""

    def __init__(self, setup: Setup, samples: Samples, seed: int) -> None:
        self.threads = setup.threads
        self.trainer = Trainer(setup, samples, seed)
        size = min(setup.batch, len(samples))
        order = np.random.default_rng(seed).permutation(len(samples))
        count = max(1, min(len(samples) // size, ROUNDS + 4))
        batches = [order[start * size : (start + 1) * size] for start in range(count)]
        self.feed: Callable[[], Iterator[Any]] = lambda: FEEDS[setup.feed](samples, batches)
        self.left = self.feed()

    def take(self) -> float:
        """Seconds of one step, its batch included."""
        import torch

        before = torch.get_num_threads()
        if self.threads:
            torch.set_num_threads(self.threads)
        began = time.perf_counter()
        batch = next(self.left, None)
        if batch is None:
            self.left = self.feed()
            began = time.perf_counter()
            batch = next(self.left)
        self.trainer.step(*batch)
        seconds = time.perf_counter() - began
        torch.set_num_threads(before)
        return seconds


def _steps(setup: Setup, samples: Samples) -> float:
    return setup.epochs * batch_count(len(samples), setup.batch)


def _systems() -> list[Speedup]:
    """Those that leave the result alone, cheap ones first, those with a price last."""
    found = [s for s in plugin.speedups.available() if s.kind == "system"]
    return sorted(found, key=lambda s: (s.costs, s.order, s.name))
