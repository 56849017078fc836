"""The planner: every speed-up is tried here, with this model, before it is used.

Two setups are made real side by side and take their steps in turns, in an order drawn by lot; what
counts is the interval of their ratio. What changes the result of learning is not timed, but
reported apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hasten import plugin, stats
from hasten.errors import HastenError, Unsupported
from hasten.plugin import Facts
from hasten.plugin.training import Setup, Speedup
from hasten.training import choice
from hasten.training.loop import MOST_HALVINGS, Trainer
from hasten.training.memory import exhausted, out_of_memory
from hasten.training.order import batch_count
from hasten.training.samples import FEEDS, Samples
from hasten.types import Ratio, Use

ROUNDS, LEAST_ROUNDS = 24, 8
"""Of one trial: with eight, an interval of 95 % bears one round that something else disturbed."""
EXACT_ROUNDS = 4
"""Of one that changes no bit of the result: it stays unless it is slower, little depends on it."""
LOOKS = {2: 0.8, 4: 1.0}
"""From so many rounds on a trial is left if every round shows less than this share of a gain that
is worth it."""
DECIDED_ROUNDS = 4
"""From so many on it also ends where its interval lies on one side of that gain. Looking again and
again makes more errors than 5 %; an error costs a little speed, and a look costs time for sure."""
SHARE_OF_RUN = 0.05
"""What all trials together may take of the time that training is expected to take."""
LEAST_SECONDS, MOST_SECONDS = 0.5, 6.0
PART_SECONDS, LEAST_PART = 0.25, 64
"""A step that takes longer is timed on a part of its batch, of so many samples at least."""
BUDGET_SHARE = 0.9
"""The rest is for judging every epoch."""
LEAST_EPOCHS = 0.01
TIMES_ITS_COST = 10.0
"""A speed-up with a price is tried in a run this many times as long as planning then has taken."""


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


@dataclass(frozen=True)
class Trial:
    """One speed-up with one set of options, timed: the setup with it, and what it took to begin."""

    use: Use
    setup: Setup
    ratio: Ratio
    price: float


class Planner:
    """Finds the setup for one run.

    ``asked`` names speed-ups with their options that are used without being timed: here those of
    the system, in the setup already what changes what is learned. ``without`` names those that are
    not even tried. ``trainings`` counts those that one plan is for: folds.
    """

    def __init__(
        self,
        samples: Samples,
        seed: int,
        target: Facts,
        say: Callable[[str], None],
        asked: Mapping[str, Mapping[str, Any]] | None = None,
        without: Collection[str] = (),
        trainings: int = 1,
    ) -> None:
        self.samples, self.seed, self.target, self.say = samples, seed, target, say
        self.asked, self.without, self.trainings = dict(asked or {}), without, trainings
        self.rows: list[Row] = []
        self.sample_seconds, self.rough = 0.0, False
        self.share = SHARE_OF_RUN

    def measured(self, setup: Setup) -> Setup:
        """The setup with every speed-up that wins here, each timed against without it."""
        setup = self._that_fits(self._as_asked(setup))
        left = self._left(_tried())
        self.share = SHARE_OF_RUN / max(1, len(left))
        for speedup in left:
            if speedup.costs:
                self._look_again(setup)
            setup = self._try(speedup, setup)
        self._look_again(setup)
        return setup

    def _that_fits(self, setup: Setup) -> Setup:
        """The setup, its batches in as many parts as memory asks for; its time is taken, too."""
        while True:
            try:
                self.sample_seconds = self._seconds_per_sample(setup)
                return setup
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if setup.accumulate >= 2**MOST_HALVINGS or setup.accumulate >= setup.batch:
                    raise exhausted(setup.accumulate) from error
            setup = replace(setup, accumulate=2 * setup.accumulate)
            self.say(f"memory ran out: batches in {setup.accumulate} parts")

    def _look_again(self, setup: Setup) -> None:
        """What a sample takes, where a part of a batch told only what is faster."""
        if self.rough:
            self.sample_seconds = self._seconds_per_sample(setup)
            self.rough = False

    @property
    def spent(self) -> float:
        """Seconds of all trials so far."""
        return sum(row.seconds for row in self.rows)

    def within(self, setup: Setup, seconds: float) -> Setup:
        """The setup with as many epochs as a budget allows: the schedule ends with it."""
        per_epoch = self.sample_seconds * _samples(replace(setup, epochs=1), self.samples)
        fit = max(LEAST_EPOCHS, BUDGET_SHARE * seconds / per_epoch)
        return replace(setup, epochs=min(setup.epochs, fit))

    def unmeasured(self, setup: Setup) -> Setup:
        """The setup with those speed-ups alone that leave every bit of the result as it is."""
        setup = self._as_asked(setup)
        for speedup in self._left(_tried()):
            if speedup.exact:
                setup = speedup(setup, self.target)
                why = "not timed: every bit stays as it is"
                self._note(speedup, Use(speedup.name), None, True, why, 0)
        return setup

    def _as_asked(self, setup: Setup) -> Setup:
        """The setup with the systems speed-ups that the user asked for."""
        found = [plugin.speedups.get(name) for name in self.asked]
        for speedup in sorted((one for one in found if one.kind == "system"), key=_turn):
            options = self.asked[speedup.name]
            setup = speedup(setup, self.target, options)
            self._note(speedup, Use.of(speedup.name, **options), None, True, "as asked", 0)
        return setup

    def _left(self, speedups: list[Speedup]) -> list[Speedup]:
        """Those on which the user left the decision to the planner; the others are noted."""
        left = []
        for speedup in speedups:
            if speedup.name in self.without:
                self._note(speedup, Use(speedup.name), None, False, "left out, as asked", 0)
            elif speedup.name not in self.asked:
                left.append(speedup)
        return left

    def _seconds_per_sample(self, setup: Setup) -> float:
        turns = Turns(setup, self.samples, self.seed)
        began = time.perf_counter()
        turns.take()
        times = 3 if time.perf_counter() - began < LEAST_SECONDS else 1
        return min(turns.take() for _ in range(times))

    def _try(self, speedup: Speedup, setup: Setup) -> Setup:
        """One speed-up with all options worth trying: the setup to go on with."""
        self.say(f"trying {speedup.name}")
        began = time.perf_counter()
        run = self.sample_seconds * _samples(setup, self.samples) * self.trainings
        trials, failed = self._trials(speedup, setup, run)
        spent = time.perf_counter() - began
        if not trials:
            why = failed or "there is nothing to choose from"
            self._note(speedup, Use(speedup.name), None, False, why, spent)
            return setup
        best = max(trials, key=lambda trial: trial.ratio.low)
        kept, why = self._judged(speedup, best, run)
        self._note(speedup, best.use, best.ratio, kept, why, spent)
        if kept:
            self.rough |= self._part() < setup.batch and not speedup.needs_whole_batches
            self.sample_seconds /= best.ratio.value
        return best.setup if kept else setup

    def _trials(self, speedup: Speedup, setup: Setup, run: float) -> tuple[list[Trial], str]:
        """Every set of options that works, timed, and why the last of the others does not."""
        trials, failed = [], ""
        try:
            if speedup.costs and run < TIMES_ITS_COST * (self.spent + speedup.typical_seconds):
                raise Unsupported(
                    f"trying takes about {speedup.typical_seconds:.0f} s after {self.spent:.0f} s "
                    f"of planning, the whole run {run:.0f} s"
                )
            space = list(speedup.space(setup, self.target))
        except (HastenError, RuntimeError) as error:
            return [], _first_line(error)
        for options in space:
            try:
                trials.append(self._trial(speedup, options, setup, run / len(space)))
            except (HastenError, RuntimeError) as error:
                failed = _first_line(error)
        return trials, failed

    def _trial(
        self, speedup: Speedup, options: Mapping[str, Any], setup: Setup, run: float
    ) -> Trial:
        """One set of options against the setup as it is; ``run`` seconds say how long to take."""
        changed = speedup(setup, self.target, options)
        most = None if speedup.needs_whole_batches else self._part()
        opened = time.perf_counter()
        other = Turns(changed, self.samples, self.seed, most)
        other.take()
        price = time.perf_counter() - opened
        limit = min(MOST_SECONDS, max(LEAST_SECONDS, self.share * run))
        before = Turns(setup, self.samples, self.seed, most)
        if speedup.exact:
            ratio = in_turns(before, other, self.seed, limit, rounds=EXACT_ROUNDS)
        else:
            ratio = in_turns(before, other, self.seed, limit, worth=speedup.worth)
        return Trial(Use.of(speedup.name, **options), changed, ratio, price)

    def _part(self) -> int:
        """How many samples of a batch a step is timed on."""
        fit = max(1, int(PART_SECONDS / self.sample_seconds))
        return max(LEAST_PART, 1 << fit.bit_length() - 1)

    def _judged(self, speedup: Speedup, best: Trial, run: float) -> tuple[bool, str]:
        """Whether it is kept, and why. What changes no bit stays unless it is slower."""
        ratio = best.ratio
        if ratio.high < 1 if speedup.exact else ratio.low < speedup.worth:
            return False, "no clear gain"
        if ratio.low < 1:
            return True, "not slower, and every bit stays as it is"
        saved = run * (1 - 1 / ratio.low)
        if speedup.costs and saved < best.price:
            return False, f"it saves {saved:.0f} s and costs {best.price:.0f} s"
        why = f"saves about {saved:.0f} s of {run:.0f} s"
        return True, why if speedup.kind == "system" else f"{why}, and changes what is learned"

    def _note(
        self, speedup: Speedup, use: Use, ratio: Ratio | None, kept: bool, why: str, seconds: float
    ) -> None:
        self.rows.append(Row(use, speedup.kind, ratio, kept, why, seconds))


class Turns:
    """A setup made real, one step at a time. Its steps are thrown away. ``most``: how many samples
    of a batch they take."""

    def __init__(self, setup: Setup, samples: Samples, seed: int, most: int | None = None) -> None:
        self.threads, self.states, self.device = setup.threads, setup.states, setup.device
        self.trainer = Trainer(setup, samples, seed)
        self.size = min(setup.batch, len(samples), most or setup.batch)
        order = np.random.default_rng(seed).permutation(len(samples))
        count = max(1, min(len(samples) // self.size, ROUNDS + 4))
        batches = [order[start * self.size : (start + 1) * self.size] for start in range(count)]
        self.feed: Callable[[], Iterator[Any]] = lambda: FEEDS[setup.feed](
            self.trainer.samples, batches
        )
        self.left = self.feed()

    def take(self, shared: Collection[choice.State] = ()) -> float:
        """Seconds per sample of one step, its batch included. ``shared`` are states that the
        process is in already; the change to another one is paid by a step that is not timed."""
        states = [state for state in self.states if state not in shared]
        with choice.entered(self.threads, states):
            if states:
                self._step()
            return self._step() / self.size

    def _step(self) -> float:
        import torch

        began = time.perf_counter()
        batch = next(self.left, None)
        if batch is None:
            self.left = self.feed()
            began = time.perf_counter()
            batch = next(self.left)
        self.trainer.step(*batch)
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - began


def in_turns(
    before: Turns,
    after: Turns,
    seed: int,
    seconds: float,
    rounds: int = ROUNDS,
    worth: float | None = None,
) -> Ratio:
    """How many times faster ``after`` learns from a sample: steps in turns, their order by lot.

    It ends after ``rounds``, or after so many seconds and at least ``LEAST_ROUNDS``. With ``worth``
    it also ends where it is clear on which side of that gain it is (``LOOKS``, ``DECIDED_ROUNDS``),
    and what looks like that gain or more but is not certain yet gets twice the time.
    """
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    found: tuple[list[float], list[float]] = ([], [])
    pair = (before, after)
    shared = [state for state in before.states if state in after.states]
    with choice.entered(None, shared):
        before.take(shared)
        while True:
            for which in rng.permutation(2):
                found[which].append(pair[which].take(shared))
            played = len(found[0])
            ratio = stats.ratio(*found)
            spent = time.perf_counter() - began
            vague = worth is not None and ratio.low < worth < ratio.value
            over = played >= LEAST_ROUNDS and spent > seconds * (2 if vague else 1)
            clear = worth is not None and _clear(found, ratio, worth, spent)
            if played >= rounds or over or clear:
                return ratio


def _clear(
    found: tuple[list[float], list[float]], ratio: Ratio, worth: float, spent: float
) -> bool:
    """Whether the rounds so far tell on which side of ``worth`` a gain is. Where rounds are short
    there is time for all of them."""
    played, best = len(found[0]), max(np.divide(*found))
    lost = any(played >= look and best < share * worth for look, share in LOOKS.items())
    enough = played >= (DECIDED_ROUNDS if spent > LEAST_SECONDS else LEAST_ROUNDS)
    return lost or (enough and not ratio.low <= worth <= ratio.high)


def _samples(setup: Setup, samples: Samples) -> float:
    """How many samples a whole run learns from, each counted as often as it is seen."""
    size = min(setup.batch, len(samples))
    return setup.epochs * batch_count(len(samples), setup.batch) * size


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _tried() -> list[Speedup]:
    """Those that are timed, cheap ones first, those with a price last."""
    found = plugin.speedups.available()
    wanted = [s for s in found if (s.kind == "system" if s.tried is None else s.tried)]
    return sorted(wanted, key=_turn)


def _turn(speedup: Speedup) -> tuple[bool, int, str]:
    return speedup.costs, speedup.order, speedup.name
