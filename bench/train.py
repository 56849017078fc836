"""The training race: time to a test accuracy that was fixed before.

python -m bench.train             how many epochs every contender needs, on seeds of its own, then
                                  the race; what has a result is not run again
python -m bench.train --tune      only how many epochs
python -m bench.train --table     only write the table
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.race import machine
from bench.training import contenders, rows, standing
from bench.training.contenders import OURS, Contender
from bench.training.rows import Row

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "training"
LADDER = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 60, 80)
"""Numbers of epochs that a schedule may have."""
FIRST_EPOCHS = 5
TUNING_SEEDS = (100, 101)
RACE_SEEDS = {True: (0, 1, 2, 3, 4), False: (0, 1, 2)}
"""By whether the contender is ours."""
MOST_TIMES = 6.0
"""A contender that takes this many times as long as ours is stopped."""
FIRST_LIMIT_SECONDS = 3600.0
MARGIN = 0.001
"""What tuning asks for beyond the target, of everybody. Seeds differ by about 0.15 points: where a
mean of two just reaches the target, other seeds miss it every second time."""
FAR = 0.004
"""From the target: one seed tells enough."""


class Stopped(Exception):
    """A run took too long; ``seen`` is what it had reached."""

    def __init__(self, seen: list[dict[str, float]]) -> None:
        super().__init__()
        self.seen = seen


def child(
    row: Row, contender: Contender, seed: int, epochs: float, limit: float, watch: bool = False
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """One run in a process of its own: its result, and what it saw on the way."""
    command = [sys.executable, "-m", "bench.training.child", row.name, contender.name]
    command += [str(seed), str(epochs), *(["--watch"] if watch else [])]
    environment = {**os.environ, **contender.environment, "PYTHONWARNINGS": "ignore"}
    log = RESULTS / "logs" / f"{row.name}-{contender.name}-{seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    seen: list[dict[str, float]] = []
    with (
        log.open("w") as sink,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=sink, text=True, cwd=ROOT, env=environment
        ) as process,
    ):
        ends = time.monotonic() + limit
        timer = _killed_after(process, limit)
        for line in process.stdout or ():
            if not line.startswith("{"):
                continue
            found = json.loads(line)
            if "result" in found:
                timer.cancel()
                return found["result"], seen
            seen.append(found)
        timer.cancel()
    if time.monotonic() >= ends:
        raise Stopped(seen)
    raise RuntimeError(f"{contender.name} failed on {row.name}: see {log}")


def _killed_after(process: subprocess.Popen[str], seconds: float) -> Any:
    import threading

    timer = threading.Timer(seconds, process.kill)
    timer.start()
    return timer


# --- how many epochs ------------------------------------------------------------------------------


def tune(row: Row, contender: Contender, limit: float) -> None:
    """The fewest epochs at which the mean accuracy on the tuning seeds is ``MARGIN`` beyond the
    target."""
    place = schedule_path(row, contender)
    if place.exists():
        return
    if row.epochs and contender.name == OURS:
        write(place, {"target": row.target, "epochs": row.epochs, "seeds": [TUNING_SEEDS[0]]})
        return
    if contender.tuned_as:
        print(f"{row.name}: {contender.title}: as many epochs as {contender.tuned_as}", flush=True)
        return
    print(f"{row.name}: {contender.title}: how many epochs", flush=True)
    found = (_climbed if contender.scheduled else _watched)(row, contender, limit)
    write(place, {"target": row.target, "seeds": list(TUNING_SEEDS), **found})
    print(f"  {found}", flush=True)


def _watched(row: Row, contender: Contender, limit: float) -> dict[str, Any]:
    """Without a schedule one run per seed tells the accuracy after each number of epochs."""
    runs = []
    for seed in TUNING_SEEDS:
        seen = _tried(row, contender, seed, LADDER[-1], limit)
        runs.append({int(line["epochs"]): line["accuracy"] for line in seen})
        if max(runs[-1].values(), default=0.0) < row.target - FAR:
            break  # far from it: the other seed would not change that
    shared = sorted(set.intersection(*map(set, runs)))
    means = {epochs: sum(run[epochs] for run in runs) / len(runs) for epochs in shared}
    return {"epochs": min(_reached(row, means), default=None), "tried": means}


def _climbed(row: Row, contender: Contender, limit: float) -> dict[str, Any]:
    """With a schedule every number of epochs is a run of its own: from where another contender of
    the row ended, down while the target is reached, else up until it is."""
    means: dict[int, float] = {}
    place = _first_rung(row)
    while 0 <= place < len(LADDER):
        mean = _mean(row, contender, LADDER[place], limit)
        if mean is None:
            break
        means[LADDER[place]] = mean
        reached = _reached(row, means)
        if reached and len(reached) < len(means):
            break  # its neighbour below does not reach it
        place += -1 if reached else 1
    return {"epochs": min(_reached(row, means), default=None), "tried": means}


def _reached(row: Row, means: dict[int, float]) -> list[int]:
    """The numbers of epochs that are enough."""
    return [epochs for epochs, mean in means.items() if mean >= row.target + MARGIN]


def _first_rung(row: Row) -> int:
    """Where to begin: at the longest schedule that a contender of this row has."""
    found = [read(path) or {} for path in (RESULTS / row.name).glob("*.schedule.json")]
    first = max((one["epochs"] for one in found if one.get("epochs")), default=FIRST_EPOCHS)
    return min(range(len(LADDER)), key=lambda n: abs(LADDER[n] - first))


def _mean(row: Row, contender: Contender, epochs: int, limit: float) -> float | None:
    """The mean accuracy on the tuning seeds; the first alone where it is far from the target, and
    ``None`` where time is up."""
    values: list[float] = []
    for seed in TUNING_SEEDS:
        seen = _tried(row, contender, seed, epochs, limit)
        if not seen or seen[-1]["epochs"] < epochs:
            return None
        values.append(seen[-1]["accuracy"])
        if abs(values[0] - row.target - MARGIN) > FAR:
            break
    return sum(values) / len(values)


def _tried(
    row: Row, contender: Contender, seed: int, epochs: int, limit: float
) -> list[dict[str, float]]:
    """One run while tuning, kept: what it saw after its epochs, or after the last one alone."""
    place = RESULTS / row.name / "tuning" / f"{contender.name}-{epochs}-{seed}.json"
    kept = read(place)
    if kept is None or kept.get("stopped", limit) < limit:  # with more time it may get further
        try:
            result, seen = child(row, contender, seed, epochs, limit, not contender.scheduled)
            ended = {key: result[key] for key in ("epochs", "seconds", "accuracy")}
            kept = {"seen": seen or [ended]}
        except Stopped as stopped:
            kept = {"seen": stopped.seen, "stopped": limit}
        write(place, kept)
    return list(kept["seen"])


def schedule_path(row: Row, contender: Contender) -> Path:
    """Where a contender's number of epochs stands: its own, or that of the one it trains like."""
    return RESULTS / row.name / f"{contender.tuned_as or contender.name}.schedule.json"


# --- the race -------------------------------------------------------------------------------------


def race(row: Row, some: list[Contender]) -> None:
    """Every contender on every seed, in turns that begin with another one each time; the first
    turn begins with ours, which sets the limit. Who misses the target races again, for longer."""
    most = max(len(seeds) for seeds in RACE_SEEDS.values())
    while some:
        for number in range(most):
            shift = number % len(some)
            for contender in [*some[shift:], *some[:shift]]:
                if number < len(RACE_SEEDS[contender.own]):
                    one(row, contender, RACE_SEEDS[contender.own][number])
        some = [contender for contender in some if lengthened(row, contender)]


def one(row: Row, contender: Contender, seed: int) -> None:
    """One run of the race, unless it has a result with the epochs that it is to train."""
    place = RESULTS / row.name / f"{contender.name}-{seed}.json"
    schedule = read(schedule_path(row, contender))
    if schedule is None:
        return  # the one that it trains like was not tuned
    if schedule["epochs"] is None or _stopped(row, contender):
        return  # it does not reach the target in time
    kept = read(place)
    if kept is not None and kept["epochs"] == schedule["epochs"]:
        return
    print(f"{row.name}: {contender.title}, seed {seed}", flush=True)
    try:
        result, _ = child(row, contender, seed, schedule["epochs"], limit(row))
    except Stopped:
        result = {"row": row.name, "contender": contender.name, "seed": seed, "stopped": limit(row)}
    write(place, {**result, "machine": machine()})
    if "seconds" in result:
        print(f"  {result['accuracy']:.4f} after {result['seconds']:.0f} s", flush=True)


def lengthened(row: Row, contender: Contender) -> bool:
    """Whether its mean accuracy missed the target and it now has the next longer schedule. Two
    tuning seeds can be luckier than the race's; a time counts only where the target was reached.
    Epochs that belong to the row, or to another contender, stay."""
    if contender.tuned_as or (row.epochs and contender.name == OURS):
        return False
    runs = standing.found(RESULTS / row.name, contender.name)
    if len(runs) < len(RACE_SEEDS[contender.own]) or _stopped(row, contender):
        return False
    accuracies = [run["accuracy"] for run in runs]
    if sum(accuracies) / len(accuracies) >= row.target:
        return False
    place = schedule_path(row, contender)
    schedule = json.loads(place.read_text())
    longer = [rung for rung in LADDER if rung > schedule["epochs"]]
    if not longer:
        return False
    missed = {**schedule.get("missed", {}), f"{schedule['epochs']:g}": accuracies}
    write(place, {**schedule, "epochs": longer[0], "missed": missed})
    print(f"{row.name}: {contender.title} missed the target: {longer[0]} epochs", flush=True)
    return True


def _stopped(row: Row, contender: Contender) -> bool:
    """Whether it took too long on another seed: the rest would not change what is recorded."""
    return any("stopped" in run for run in standing.found(RESULTS / row.name, contender.name))


def limit(row: Row) -> float:
    """Six times what ours took, where that is known."""
    taken = [
        found["seconds"]
        for path in (RESULTS / row.name).glob(f"{OURS}-*.json")
        if (found := read(path)) and "seconds" in found
    ]
    return MOST_TIMES * sum(taken) / len(taken) if taken else FIRST_LIMIT_SECONDS


def read(path: Path) -> dict[str, Any] | None:
    """A result; ``None`` where there is none."""
    return json.loads(path.read_text()) if path.exists() else None


def write(path: Path, content: dict[str, Any]) -> None:
    """A result, aside and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(content, indent=1) + "\n")
    aside.rename(path)


def chosen(text: str | None, row: Row) -> list[Contender]:
    """The contenders asked for that can run here and have the row's network."""
    found = []
    for name in text.split(",") if text else contenders.names():
        contender = contenders.get(name)
        if missing := contender.missing():
            print(f"{contender.title}: '{missing}' is not installed: pip install '.[bench-train]'")
        elif contender.runs(row):
            found.append(contender)
    # Ours sets the limit for the others.
    return sorted(found, key=lambda contender: (contender.name != OURS, not contender.own))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.train", description=__doc__)
    parser.add_argument("--rows", help="comma-separated; default: all")
    parser.add_argument("--contenders", help="comma-separated; default: all")
    parser.add_argument("--tune", action="store_true", help="find the epochs, then stop")
    parser.add_argument("--table", action="store_true", help="only write the table")
    asked = parser.parse_args()
    for name in [] if asked.table else (asked.rows.split(",") if asked.rows else rows.ROWS):
        row = rows.get(name)
        some = chosen(asked.contenders, row)
        for contender in some:
            tune(row, contender, limit(row))
            if contender.name == OURS:
                one(row, contender, RACE_SEEDS[True][0])  # sets the limit for all others
        if not asked.tune:
            race(row, some)
    text = standing.table(RESULTS, list(rows.ROWS.values()))
    (RESULTS.parent / "training.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
