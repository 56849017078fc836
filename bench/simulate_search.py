"""Prove the search's statistics by simulation, on noise recorded on a real machine.

    python bench/simulate_search.py            writes bench/results/simulation.json

Whole searches run through ``hasten.search.race`` on a virtual clock; what a turn reads is replayed
from a trace (``bench/record_noise.py``) from a random place on, so that drift and bursts stay as
they were. Each simulated process also has the small lasting advantage or handicap over others of
the same model that the trace shows, in the race and in the final alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hasten import metrics, stats
from hasten.search.race import Entry, Rules, Track, final, race
from hasten.types import Spec

HERE = Path(__file__).parent
TRACES = HERE / "traces"
RESULT = HERE / "results" / "simulation.json"
OVERHEAD_SECONDS = 0.003
"""What a turn takes besides its calls: waking, stopping, looking at the machine."""
WARM_UP_CALLS = 2
ANY_GAIN = Rules(same=1.0)
"""Without the allowance for two processes of one model: the bare interval has to hold as well."""


class Trace:
    """A recording: what each turn read, as multiples of the median, and how the machine was."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as raw:
            ends = np.cumsum(raw["calls"].astype(int))
            seconds = np.split(raw["seconds"].astype(np.float64), ends[:-1])
            self.about: dict[str, Any] = json.loads(str(raw["about"]))
            self.disturbed: list[bool] = raw["disturbed"].tolist()
            process, generation = raw["process"].astype(int), raw["generation"].astype(int)
        level = np.array([np.median(calls) for calls in seconds])
        self.base_seconds = float(np.median(level))
        self.turns = [(calls / self.base_seconds).tolist() for calls in seconds]
        self.process_effects = _process_effects(np.log(level), process, generation)

    def __len__(self) -> int:
        return len(self.turns)

    def summary(self) -> dict[str, Any]:
        """What the recording is like."""
        level = np.log([statistics.median(calls) for calls in self.turns])
        return {
            **self.about,
            "turns": len(self),
            "milliseconds_per_call": round(self.base_seconds * 1000, 3),
            "neighbouring_turns_differ_by": round(stats.spread(np.diff(level)), 4),
            "slowest_over_fastest_turn": round(float(np.exp(level.max() - level.min())), 2),
            "disturbed_share": round(float(np.mean(self.disturbed)), 3),
            "process_effect": round(stats.spread(self.process_effects), 5),
        }


def _process_effects(level: np.ndarray, process: np.ndarray, generation: np.ndarray) -> np.ndarray:
    """Log of how much slower each process is than the others of its generation, lastingly.

    What the noise of a median explains is taken out, so that only the lasting part is left.
    """
    count = int(process.max()) + 1
    effects, errors = [], []
    for number in np.unique(generation):
        mine = level[generation == number].reshape(-1, count)
        order = np.argsort(process[generation == number].reshape(-1, count), axis=1)
        mine = np.take_along_axis(mine, order, axis=1)
        mine = mine - np.median(mine, axis=1, keepdims=True)
        effects.append(np.median(mine, axis=0))
        errors.append([1.2533 * stats.spread(column) / len(mine) ** 0.5 for column in mine.T])
    found = np.concatenate(effects)
    lasting = max(0.0, stats.spread(found) ** 2 - float(np.median(np.square(errors))))
    return found * (lasting**0.5 / (stats.spread(found) or 1.0))


class Tape:
    """A trace being replayed: also the clock and the watch of the simulated machine."""

    def __init__(self, trace: Trace, rng: np.random.Generator) -> None:
        self.trace = trace
        self.place = int(rng.integers(len(trace)))
        self.seconds = 0.0

    def turn(self, factor: float) -> list[float]:
        noise = self.trace.turns[self.place]
        self.place = (self.place + 1) % len(self.trace)
        scale = factor * self.trace.base_seconds
        calls = [value * scale for value in noise]
        self.seconds += sum(calls) * (1 + WARM_UP_CALLS / len(calls)) + OVERHEAD_SECONDS
        return calls

    def clock(self) -> float:
        return self.seconds

    def look(self) -> int:
        return self.place

    def between(self, before: int, after: int) -> Seen:
        return Seen(self.trace.disturbed[before])


@dataclass(frozen=True)
class Seen:
    """What the watch says of a replayed turn."""

    disturbed: bool


@dataclass
class Simulated:
    """A contender whose speed is known: ``speed`` times the reference's."""

    name: str
    tape: Tape
    speed: float

    def turn(self, seconds: float) -> list[float]:
        return self.tape.turn(1 / self.speed)


@dataclass(frozen=True)
class Outcome:
    """How one simulated search ended."""

    winner: str | None
    verdict: str
    seconds: float
    race_seconds: float


def search(
    trace: Trace, speeds: Sequence[float], rng: np.random.Generator, rules: Rules | None = None
) -> Outcome:
    """One whole search among candidates of these speeds: race, then final."""
    tape = Tape(trace, rng)
    effects = np.exp(rng.choice(trace.process_effects, len(speeds) + 1))
    reference = Simulated("reference", tape, float(effects[-1]))
    entries = [
        Entry(Simulated(str(i), tape, speed * float(effects[i])), int(rng.integers(30)))
        for i, speed in enumerate(speeds)
    ]
    track = Track(rng, rules or Rules(), watch=tape, clock=tape.clock)  # type: ignore[arg-type]
    standing = race(track, reference, entries)
    raced = tape.seconds
    if standing.winner is None:
        return Outcome(None, "level", tape.seconds, raced)
    chosen = entries[int(standing.winner)].contender
    proof = final(track, reference, chosen)
    return Outcome(standing.winner, proof.verdict, tape.seconds, raced)


def searches(
    trace: Trace, speeds: Sequence[float], count: int, seed: int, rules: Rules | None = None
) -> dict[str, Any]:
    """Many searches: how often something was called faster, and how often it was the fastest."""
    rng = np.random.default_rng(seed)
    found = [search(trace, speeds, rng, rules) for _ in range(count)]
    called = [one for one in found if one.verdict == "faster"]
    best = str(int(np.argmax(speeds)))
    return {
        "searches": count,
        "candidates": len(speeds),
        "best_speed": max(speeds),
        "called_faster": len(called) / count,
        "best_called_faster": sum(one.winner == best for one in called) / count,
        "median_seconds": round(statistics.median(one.seconds for one in found), 1),
        "longest_seconds": round(max(one.seconds for one in found), 1),
        "median_race_seconds": round(statistics.median(one.race_seconds for one in found), 1),
    }


# --- accuracy -------------------------------------------------------------------------------------


def breaking_models(n: int, lost: float, gained: float, count: int, seed: int) -> float:
    """How often one of three models passes although each truly drops by the limit.

    A sample is lost or gained with these probabilities; the limit is their difference.
    """
    rng = np.random.default_rng(seed)
    limit = metrics.choose(Spec((), ()), np.zeros(1, int), max_drop=lost - gained)
    passed = 0
    for _ in range(count):
        passed += any(_passes(limit, n, lost, gained, rng) for _ in range(3))
    return passed / count


def _passes(
    limit: metrics.Limit, n: int, lost: float, gained: float, rng: np.random.Generator
) -> bool:
    kind = rng.random(n)
    before, after = np.ones((n, 2)), np.ones((n, 2))
    after[kind < lost, 0] = 0
    before[kind > 1 - gained, 0] = 0
    return metrics.judge(limit, before, after, split="test", alpha=0.05 / 3).verdict == "proven"


Rows = tuple[np.ndarray, np.ndarray]


def _f1_rows(n: int, rng: np.random.Generator) -> Rows:
    """Three classes, 90 % right; the candidate answers 3 % anew, mostly worse."""
    labels = rng.integers(0, 3, n)
    before = np.where(rng.random(n) < 0.9, labels, (labels + 1) % 3)
    worse = np.where(rng.random(n) < 0.8, (before + 1) % 3, labels)
    after = np.where(rng.random(n) < 0.03, worse, before)
    f1 = metrics.named("f1")
    one, other = (f1.statistics({"y": np.eye(3)[a]}, None, labels) for a in (before, after))
    return one, other


def _mse_rows(n: int, rng: np.random.Generator) -> Rows:
    """Log-normal errors that the candidate changes by 30 % at random."""
    before = rng.lognormal(0, 1, n)
    ones = np.ones(n)
    after = before * rng.lognormal(0.01, 0.3, n)
    return np.stack([before, ones], axis=1), np.stack([after, ones], axis=1)


def _sqnr_rows(n: int, rng: np.random.Generator) -> Rows:
    """Log-normal error power."""
    signal = rng.lognormal(0, 0.3, n)
    error = rng.lognormal(-7, 1, n)
    return np.stack([signal, 0 * signal], axis=1), np.stack([signal, error], axis=1)


def sampled_bounds(name: str, n: int, count: int, seed: int) -> float:
    """How often the 95 % bound of a metric that is no share misses the truth."""
    make = {"f1": _f1_rows, "mse": _mse_rows, "sqnr": _sqnr_rows}[name]
    rng = np.random.default_rng(seed)
    limit = metrics.choose(Spec((), ()), np.zeros(1), metric=name)
    truth = limit.harm(np.concatenate(make(1_000_000, rng), axis=1).sum(axis=0))
    missed = 0
    for _ in range(count):
        bound = metrics.judge(limit, *make(n, rng), split="test").bound
        missed += (bound if limit.mode == "drop" else -bound) < truth
    return missed / count


# --- which interval -------------------------------------------------------------------------------


def _signed_rank(logs: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    found = stats.ratio(np.exp(logs).tolist(), np.ones(len(logs)).tolist())
    return float(np.log(found.low)), float(np.log(found.high))


def _sign(logs: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    n = len(logs)
    tail = np.cumsum([np.exp(_log_choose(n, k)) / 2.0**n for k in range(n + 1)])
    cut = max(0, int(np.searchsorted(tail, 0.025, side="right")) - 1)
    ordered = np.sort(logs)
    return float(ordered[cut]), float(ordered[-1 - cut])


def _log_choose(n: int, k: int) -> float:
    return float(np.sum(np.log(np.arange(n - k + 1, n + 1)))) - float(
        np.sum(np.log(np.arange(1, k + 1)))
    )


def _mean(logs: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    margin = 1.96 * logs.std(ddof=1) / len(logs) ** 0.5
    return float(logs.mean() - margin), float(logs.mean() + margin)


def _bootstrap(logs: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of medians over resampled blocks of four neighbouring rounds."""
    n, block = len(logs), 4
    starts = rng.integers(0, n - block + 1, (400, -(-n // block)))
    index = (starts[..., None] + np.arange(block)).reshape(400, -1)[:, :n]
    low, high = np.quantile(np.median(logs[index], axis=1), [0.025, 0.975])
    return float(low), float(high)


Interval = Callable[[np.ndarray, np.random.Generator], tuple[float, float]]
INTERVALS: dict[str, Interval] = {
    "signed-rank": _signed_rank,
    "sign": _sign,
    "normal mean": _mean,
    "block bootstrap of the median": _bootstrap,
}


def intervals(
    trace: Trace, rounds: int, count: int, seed: int, shuffled: bool = True
) -> list[dict[str, Any]]:
    """Coverage and width of each interval for two equal contenders."""
    rng = np.random.default_rng(seed)
    level = np.log([statistics.median(calls) for calls in trace.turns])
    missed: dict[str, int] = dict.fromkeys(INTERVALS, 0)
    widths: dict[str, list[float]] = {name: [] for name in INTERVALS}
    for _ in range(count):
        pairs = np.roll(level, -int(rng.integers(len(level))))[: 2 * rounds].reshape(-1, 2)
        signs = rng.choice([-1.0, 1.0], rounds) if shuffled else np.ones(rounds)
        logs = (pairs[:, 0] - pairs[:, 1]) * signs
        for name, interval in INTERVALS.items():
            low, high = interval(logs, rng)
            missed[name] += not low <= 0 <= high
            widths[name].append(high - low)
    return [
        {
            "interval": name,
            "rounds": rounds,
            "order": "shuffled" if shuffled else "fixed",
            "coverage": round(1 - missed[name] / count, 4),
            "median_width": round(statistics.median(widths[name]), 5),
        }
        for name in INTERVALS
    ]


# --- all of it ------------------------------------------------------------------------------------


def simulate(count: int) -> dict[str, Any]:
    """Everything, for every trace."""
    result: dict[str, Any] = {"traces": {}, "searches": {}, "intervals": {}}
    for path in sorted(TRACES.glob("*.npz")):
        trace = Trace(path)
        result["traces"][path.stem] = trace.summary()
        result["searches"][path.stem] = {
            "20 identical": searches(trace, [1.0] * 20, count, 1),
            "20 identical, any gain counts": searches(trace, [1.0] * 20, count, 1, ANY_GAIN),
            "3 identical, any gain counts": searches(trace, [1.0] * 3, count, 2, ANY_GAIN),
            "20, one 5 % faster": searches(trace, [1.0] * 19 + [1.05], count, 3),
            "8, one 5 % faster": searches(trace, [1.0] * 7 + [1.05], count, 4),
            "8, one 2 % faster": searches(trace, [1.0] * 7 + [1.02], count, 5),
            "8, one 2x faster": searches(trace, [0.5, 0.8, 1, 1, 1.2, 1.5, 1.9, 2], count, 6),
        }
        result["intervals"][path.stem] = [
            row
            for rounds in (12, 48)
            for shuffled in (True, False)
            for row in intervals(trace, rounds, count, 7, shuffled)
        ]
    result["models that break the limit"] = [
        {"n": n, "gained": gained, "passed": breaking_models(n, 0.01 + gained, gained, count, 8)}
        for n in (100, 400, 2000, 10000)
        for gained in (0.0, 0.005, 0.02)
    ]
    result["bounds of other metrics"] = [
        {"metric": name, "n": n, "missed": sampled_bounds(name, n, count, 9)}
        for name in ("f1", "mse", "sqnr")
        for n in (20, 60, 200)
    ]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--searches", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    began = time.monotonic()
    result = simulate(given.searches)
    result["seconds"] = round(time.monotonic() - began, 1)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["searches"], indent=1))
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
