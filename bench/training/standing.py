"""The training race's table: what every contender took, and what that is against ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.training import contenders
from bench.training.contenders import OURS, Contender
from bench.training.rows import Row
from hasten import stats

HEAD = """# Training race

Time to a test accuracy that was fixed before. All train the same network on the same samples; only
"Hasten" has one more layer, a whitening whose filters are not learned, and "Hasten, same network"
goes without it. The number of epochs is the lowest that went 0.1 points beyond the target on other
seeds, or the next higher one where that missed the target in the race; those with the same
optimiser, batch, schedule and loss share that number. On CIFAR-10, whose goal is a time of eight
minutes, Hasten's was chosen after a run of 8 epochs on seed 100. One that takes six times as long
as Hasten is stopped. Intervals are Welch's, 95 %, of logarithms. "Cold" counts everything from raw
arrays to trained weights: preparing data, planning, compiling; "warm" begins at the first step.
Made by `make bench-train`.
"""


@dataclass(frozen=True)
class Line:
    """One contender of one row: its runs, or why it has none that count."""

    contender: Contender
    row: Row
    runs: tuple[dict[str, Any], ...]
    ours: tuple[float, ...]
    """Seconds, cold, of Hasten's own runs in the row."""
    best: float | None = None
    """The mean accuracy that tuning saw at best, where the target was not reached in time; 0 where
    no run of it ended in time."""

    @property
    def stopped(self) -> float | None:
        """After how many seconds it was stopped, if it was."""
        return next((run["stopped"] for run in self.runs if "stopped" in run), None)

    @property
    def counts(self) -> bool:
        """Whether its runs ended in time."""
        return bool(self.runs) and not self.stopped

    @property
    def reached(self) -> bool:
        """Whether the mean accuracy is the target or more."""
        return bool(np.mean([run["accuracy"] for run in self.runs]) >= self.row.target)

    @property
    def mean(self) -> str:
        """The mean accuracy over seeds; of one that was not there in time, what tuning saw."""
        if not self.counts:
            return "–" if self.best is None else f"< {100 * self.row.target:.1f} %"
        return f"{100 * np.mean([run['accuracy'] for run in self.runs]):.2f} %"

    @property
    def accuracy(self) -> str:
        """The mean accuracy, and every seed."""
        if not self.counts:
            if self.best == 0:
                return "tuning: none ended in time"
            return "" if self.best is None else f"tuning: best {100 * self.best:.2f} %"
        values = [run["accuracy"] for run in self.runs]
        each = ", ".join(f"{100 * value:.2f}" for value in values)
        short = "" if self.reached else " **below the target**"
        return f"{self.mean} ({each}){short}"

    @property
    def epochs(self) -> str:
        return f"{self.runs[0]['epochs']:g}" if self.counts else ""

    def seconds(self, key: str) -> str:
        """The mean time: ``"seconds"`` counts everything, ``"warm"`` begins at the first step."""
        if self.stopped:
            return f"> {self.stopped:.0f} s" if key == "seconds" else ""
        return f"{np.mean([run[key] for run in self.runs]):.0f} s" if self.runs else ""

    @property
    def times(self) -> str:
        """How many times as long as Hasten."""
        if self.contender.name == OURS:
            return ""
        if not self.counts:
            return "> 6x"
        taken = [run["seconds"] for run in self.runs]
        return _times(np.array(taken), np.array(self.ours)) if self.ours else ""


def lines(results: Path, row: Row) -> list[Line]:
    """What is known of a row: nothing of contenders that were not tried yet."""
    folder, told = results / row.name, []
    ours = tuple(run["seconds"] for run in found(folder, OURS) if "seconds" in run)
    for contender in map(contenders.get, contenders.names()):
        runs = tuple(found(folder, contender.name))
        schedule = folder / f"{contender.tuned_as or contender.name}.schedule.json"
        tuned = json.loads(schedule.read_text()) if schedule.exists() else {"epochs": 0}
        failed = tuned["epochs"] is None
        if runs or (failed and contender.runs(row)):
            best = max(tuned["tried"].values(), default=0.0) if failed else None
            told.append(Line(contender, row, runs, ours, best))
    return told


def table(results: Path, rows: Sequence[Row]) -> str:
    """Markdown: a section for each row that has results."""
    parts = [HEAD]
    for row in rows:
        if some := lines(results, row):
            parts.append(_section(row, some))
    return "\n".join(parts)


def _section(row: Row, some: Sequence[Line]) -> str:
    head = ["", "test accuracy (every seed)", "epochs", "cold", "warm", "against Hasten (cold)"]
    body = [head, ["---", "---", "---:", "---:", "---:", "---:"]]
    body += [
        [
            line.contender.title,
            line.accuracy,
            line.epochs,
            line.seconds("seconds"),
            line.seconds("warm"),
            line.times,
        ]
        for line in some
    ]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in body)
    alone = all(line.contender.own for line in some)
    note = "\nNo other contender has been run on this row yet.\n" if alone else ""
    return f"## {row.title}: {100 * row.target:.1f} %\n\n{text}\n{note}"


def _times(taken: np.ndarray, ours: np.ndarray) -> str:
    """How many times as long as ours, with its 95 % interval: Welch's, of the logarithms."""
    logs = np.log(taken), np.log(ours)
    ratio = float(np.exp(logs[0].mean() - logs[1].mean()))
    if min(map(len, logs)) < 2:
        return f"{ratio:.2f}x"
    parts = [log.var(ddof=1) / len(log) for log in logs]
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(log) - 1) for part, log in zip(parts, logs, strict=True)
    )
    reach = stats.student_quantile(0.95, max(1, int(freedom))) * np.sqrt(sum(parts))
    return f"{ratio:.2f}x [{ratio * np.exp(-reach):.2f}, {ratio * np.exp(reach):.2f}]"


def found(folder: Path, name: str) -> list[dict[str, Any]]:
    """The results of one contender, by seed."""
    paths = sorted(folder.glob(f"{name}-*.json"))
    return [json.loads(path.read_text()) for path in paths]
