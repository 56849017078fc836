"""Who is fastest, and is it really faster than what the user had?  Policy only, no processes.

``race`` finds the fastest of many: short heats drop the dominated, the finalists run long, ties go
to the simpler one. The winner of many is flattered by luck, so ``final`` times it against the
reference again, in fresh rounds, and these alone give the verdict.

The final looks at its rounds several times and stops when the answer is clear. Each look spends
its own part of the 5 % error, so that whatever was seen, and whenever time ran out, all looks
together are wrong in at most 5 % (Bonferroni; conservative).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hasten import stats
from hasten.errors import CandidateFailed
from hasten.measure import Contender, Played, Round, Watch, play_rounds, raw
from hasten.search.pace import TURN_SECONDS
from hasten.types import Ratio

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How long heats are, and when a question counts as settled."""

    turn_seconds: float = TURN_SECONDS
    heats: tuple[int, ...] = (1, 2, 4, 6)
    """Rounds of the short heats; every one may use a third of the time that is left."""
    halving_from: int = 3
    """Rounds after which a heat keeps only the faster half."""
    finalists: int = 3
    long_rounds: int = 32
    chunk: int = 8
    """The long heat drops finalists that are clearly behind after every so many rounds."""
    looks: tuple[tuple[int, float], ...] = (
        (12, 0.002),
        (24, 0.004),
        (48, 0.008),
        (96, 0.014),
        (192, 0.022),
    )
    """Rounds at which the final looks, with the error each look spends."""
    narrow: float = 1.05
    """An interval is precise where its ends differ by less than this factor."""
    same: float = 1.003
    """Two processes of one model differ by up to this factor: a gain has to be above it."""


@dataclass(frozen=True)
class Entry:
    """A contender with how much it does to the model (ties go to the smaller number)."""

    contender: Contender
    complexity: int = 0

    @property
    def name(self) -> str:
        return self.contender.name


@dataclass(frozen=True)
class Progress:
    """What a race tells while it runs; ``leader`` and ``speedup`` over the rounds so far."""

    stage: str
    rounds: int
    alive: tuple[str, ...]
    leader: str
    speedup: float
    seconds_left: float


@dataclass
class Track:
    """Where races are run: its clock, its watch, its dice, and who is told."""

    rng: np.random.Generator
    rules: Rules = field(default_factory=Rules)
    watch: Watch | None = None
    clock: Callable[[], float] = time.monotonic
    progress: Callable[[Progress], None] | None = None

    def play(self, contenders: Sequence[Contender], rounds: int, deadline: float) -> Played:
        """Play rounds by these rules."""
        return play_rounds(
            contenders,
            rounds,
            self.rules.turn_seconds,
            self.rng,
            watch=self.watch,
            deadline=deadline,
            clock=self.clock,
        )


@dataclass
class Record:
    """All rounds of one race or final, and who failed."""

    reference: str
    rounds: list[Round] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    disturbed: int = 0
    repeated: int = 0

    def add(self, played: Played) -> None:
        """Take in rounds; a failed reference ends everything."""
        self.rounds += played.rounds
        self.disturbed += played.disturbed
        self.repeated += played.repeated
        for name, why in played.failed.items():
            if name == self.reference:
                raise CandidateFailed(f"The reference failed while it was timed: {why}")
            self.dropped[name] = why

    def paired(self, first: str, second: str) -> tuple[list[float], list[float]]:
        """Seconds per call of both in the rounds that both played."""
        both = [r.median for r in self.rounds if first in r.median and second in r.median]
        return [m[first] for m in both], [m[second] for m in both]

    def speedup(self, name: str) -> float:
        """How many times faster than the reference, to rank by; 0 where it never ran.

        The median over the undisturbed rounds, if those are at least half: a few rounds that hold
        a burst must not throw anyone out.
        """
        ratios = [
            (r.median[self.reference] / r.median[name], r.disturbed)
            for r in self.rounds
            if name in r.median and self.reference in r.median
        ]
        calm = [ratio for ratio, disturbed in ratios if not disturbed]
        counted = calm if 2 * len(calm) >= len(ratios) else [ratio for ratio, _ in ratios]
        return statistics.median(counted) if counted else 0.0

    def ratio(self, name: str, than: str = "", confidence: float = CONFIDENCE) -> Ratio | None:
        """``speedup`` with its interval, against the reference or another contender."""
        slower, own = self.paired(than or self.reference, name)
        return stats.ratio(slower, own, confidence) if own else None


# --- the race -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """How a race ended.

    ``ranking`` names whom to prefer, best first, of those that look faster than the reference.
    ``ratios`` are for ranking only: the best of many is flattered. ``dropped`` says why.
    """

    ranking: tuple[str, ...]
    ratios: dict[str, Ratio]
    rounds: dict[str, list[list[float]]]
    dropped: dict[str, str]
    disturbed_rounds: int
    repeated_rounds: int
    seconds: float

    @property
    def winner(self) -> str | None:
        return self.ranking[0] if self.ranking else None


def race(
    track: Track, reference: Contender, entries: Sequence[Entry], budget_seconds: float = 45.0
) -> Standing:
    """Find the fastest of ``entries`` within the time. Raises where the reference fails."""
    began = track.clock()
    deadline = began + budget_seconds
    record = Record(reference.name)
    alive = _short_heats(track, record, reference, list(entries), deadline)
    alive = _long_heat(track, record, reference, alive, deadline)
    ratios = {e.name: r for e in entries if (r := record.ratio(e.name)) is not None}
    behind = [e for e in entries if record.dropped.get(e.name, "").startswith(_SLOWER)]
    behind.sort(key=lambda entry: -ratios[entry.name].value)
    ranking = [e.name for e in (*_preferred(record, alive), *behind)]
    return Standing(
        tuple(name for name in ranking if name in ratios and ratios[name].value > 1),
        ratios,
        raw(record.rounds),
        record.dropped,
        record.disturbed,
        record.repeated,
        track.clock() - began,
    )


_SLOWER = "slower"


def _short_heats(
    track: Track, record: Record, reference: Contender, alive: list[Entry], deadline: float
) -> list[Entry]:
    """Heats that drop the dominated, then the slower half, until few are left."""
    for rounds in track.rules.heats:
        if len(alive) <= track.rules.finalists and record.rounds:
            break
        now = track.clock()
        share = now + (deadline - now) / 3
        record.add(track.play([reference, *(e.contender for e in alive)], rounds, share))
        alive = _kept(track.rules, record, alive)
        _tell(track, "race", record, alive, deadline)
    return alive


def _kept(rules: Rules, record: Record, alive: list[Entry]) -> list[Entry]:
    """Those worth another heat, the fastest first; the others are written down as slower."""
    speed = {e.name: record.speedup(e.name) for e in alive if e.name not in record.dropped}
    running = sorted((e for e in alive if speed.get(e.name)), key=lambda e: -speed[e.name])
    if not running:
        return []
    best, rounds = speed[running[0].name], len(record.rounds)
    kept = [e for e in running if not _dominated(speed[e.name], best, record.rounds)]
    if rounds >= rules.halving_from:
        kept = kept[: max(rules.finalists, math.ceil(len(running) / 2))]
    for entry in running[len(kept) :]:
        behind = best / speed[entry.name]
        record.dropped[entry.name] = f"{_SLOWER}: {behind:.2f}x behind after {rounds} rounds"
    return kept


def _dominated(speed: float, best: float, rounds: Sequence[Round]) -> bool:
    """Too far behind to catch up: 2x after one round, 1.33x after three, 1.08x after thirteen.

    A disturbed round tells a tenth of what a calm one does.
    """
    weight = sum(0.1 if round_.disturbed else 1.0 for round_ in rounds)
    return speed * (1 + 1 / weight) < best


def _long_heat(
    track: Track, record: Record, reference: Contender, alive: list[Entry], deadline: float
) -> list[Entry]:
    """Many rounds for the finalists; whoever is clearly behind leaves early."""
    running = alive
    for _ in range(0, track.rules.long_rounds if running else 0, track.rules.chunk):
        contenders = [reference, *(entry.contender for entry in running)]
        played = track.play(contenders, track.rules.chunk, deadline)
        record.add(played)
        alive = [entry for entry in alive if entry.name not in record.dropped]
        running = [entry for entry in running if entry in alive]
        running = [entry for entry in running if _level(record, running, entry)]
        _tell(track, "race", record, running, deadline)
        if len(running) < 2 or len(played.rounds) < track.rules.chunk:
            break
    return alive


def _fastest(record: Record, entries: Sequence[Entry]) -> Entry:
    return max(entries, key=lambda entry: record.speedup(entry.name))


def _level(record: Record, entries: Sequence[Entry], entry: Entry) -> bool:
    """Whether nothing proves ``entry`` slower than the fastest of ``entries``."""
    leader = _fastest(record, entries)
    lead = record.ratio(leader.name, than=entry.name)
    if entry is leader or lead is None:
        return entry is leader
    if lead.confidence < CONFIDENCE:
        return not _dominated(1.0, lead.value, record.rounds)
    return lead.low <= 1


def _preferred(record: Record, entries: Sequence[Entry]) -> list[Entry]:
    """By speed, except that of those level with the fastest the simplest comes first."""
    left, order = list(entries), []
    while left:
        level = [entry for entry in left if _level(record, left, entry)]
        pick = min(level, key=lambda entry: (entry.complexity, -record.speedup(entry.name)))
        order.append(pick)
        left.remove(pick)
    return order


def _tell(
    track: Track, stage: str, record: Record, alive: Sequence[Entry], deadline: float
) -> None:
    if track.progress is None or not alive:
        return
    leader = _fastest(record, alive)
    track.progress(
        Progress(
            stage,
            len(record.rounds),
            tuple(entry.name for entry in alive),
            leader.name,
            record.speedup(leader.name),
            max(0.0, deadline - track.clock()),
        )
    )


# --- the final ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Final:
    """What fresh rounds say about the winner.

    ``verdict``: ``"faster"`` (the whole interval lies above the difference that two processes of
    one model show), ``"slower"``, ``"level"``, or ``"undecided"`` (too few rounds in the time).
    """

    verdict: str
    ratio: Ratio | None
    baseline_ratio: Ratio | None
    rounds: dict[str, list[list[float]]]
    disturbed_rounds: int
    repeated_rounds: int
    seconds: float


def final(
    track: Track,
    reference: Contender,
    winner: Contender,
    baseline: Contender | None = None,
    budget_seconds: float = 40.0,
) -> Final:
    """Time the winner against the reference (and the baseline) in fresh rounds.

    Raises ``CandidateFailed`` where the winner or the reference fails; a failed baseline is left
    out. A baseline that is the winner itself is not timed twice.
    """
    began = track.clock()
    others = [] if baseline is None or baseline is winner else [baseline]
    record = Record(reference.name)
    ratios = _looked(track, record, [reference, winner, *others], began + budget_seconds)
    ratio = ratios.get(reference.name)
    return Final(
        _verdict(track.rules, ratio),
        ratio,
        ratios.get(baseline.name) if others and baseline else None,
        raw(record.rounds),
        record.disturbed,
        record.repeated,
        track.clock() - began,
    )


def _looked(
    track: Track, record: Record, contenders: list[Contender], deadline: float
) -> dict[str, Ratio]:
    """Play and look until it is settled; the winner's ratio against each of the others.

    The last look, forced by the clock or not, has all the error that is left.
    """
    winner, left = contenders[1].name, 1 - CONFIDENCE
    ratios: dict[str, Ratio] = {}
    for index, (rounds, spend) in enumerate(track.rules.looks):
        record.add(track.play(contenders, rounds - len(record.rounds), deadline))
        if winner in record.dropped:
            raise CandidateFailed(f"'{winner}' failed in the final: {record.dropped[winner]}")
        contenders = [c for c in contenders if c.name not in record.dropped]
        last = len(record.rounds) < rounds or index + 1 == len(track.rules.looks)
        error = left if last else spend
        others = [c.name for c in contenders if c.name != winner]
        found = {name: record.ratio(winner, name, 1 - error) for name in others}
        ratios = {name: _overall(r, error) for name, r in found.items() if r is not None}
        _tell(track, "final", record, [Entry(contenders[1])], deadline)
        if last or _settled(track.rules, record.reference, ratios):
            break
        left -= spend
    return ratios


def _overall(ratio: Ratio, error: float) -> Ratio:
    """A look's interval with the confidence of all looks together."""
    reached = ratio.confidence >= 1 - error - 1e-12
    return replace(ratio, confidence=CONFIDENCE) if reached else ratio


def _settled(rules: Rules, reference: str, ratios: dict[str, Ratio]) -> bool:
    """Whether more rounds would change neither the verdict nor what a reader takes from it."""
    narrow = all(ratio.high <= ratio.low * rules.narrow for ratio in ratios.values())
    gain = ratios[reference]
    return narrow and (gain.low > rules.same or gain.high < rules.same)


def _verdict(rules: Rules, ratio: Ratio | None) -> str:
    if ratio is None or ratio.confidence < CONFIDENCE:
        return "undecided"
    if ratio.low > rules.same:
        return "faster"
    return "slower" if ratio.high < 1 else "level"
