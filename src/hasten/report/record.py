"""The evidence record, read once: its trials, who is who, and what they are called.

Nothing is judged here. Verdicts, ratios and intervals are those the search wrote down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hasten.report.units import Metric, count, duration, finite, portion, size
from hasten.types import Ratio, Score, Trial, Use, Workload

ACCEPTED = ("equivalent", "proven")
TRIED_AND_LOST = ("failed", "wrong", "broken")
NOT_REACHED = ("planned", "built")
EQUIVALENT = 1e-4
"""The largest difference, as a share of the outputs' range, that the search calls equivalent."""

TIMES = ((2.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True)
class Quantity:
    """What the objective measures: how it is named, read and compared."""

    objective: str
    batch: int

    @property
    def title(self) -> str:
        return {"throughput": "Samples per second", "size": "Size"}.get(
            self.objective, "Time per call"
        )

    @property
    def gain(self) -> str:
        """What a ratio above 1 says: so many times …"""
        return {"throughput": "more throughput", "size": "smaller"}.get(self.objective, "faster")

    @property
    def more_is_better(self) -> bool:
        return self.objective == "throughput"

    def of(self, trial: Trial) -> float | None:
        """The trial's figure: seconds, samples per second or bytes."""
        if self.objective == "size":
            return finite(trial.size_bytes)
        seconds = finite(trial.seconds_per_call)
        if not seconds or self.objective != "throughput":
            return seconds
        return self.batch / seconds

    def unit(self, largest: float) -> tuple[float, str]:
        """The unit for an axis that reaches ``largest``, and its size."""
        if self.objective == "throughput":
            return 1.0, ""
        steps = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if self.objective == "size" else TIMES
        return next((step for step in steps if largest >= step[0]), steps[-1])

    def text(self, value: float | None) -> str:
        """A figure with its unit."""
        if self.objective == "throughput":
            return f"{count(value)}/s" if finite(value) else count(value)
        return size(value) if self.objective == "size" else duration(value)


class Record:
    """An evidence record with its trials as objects, fastest first and numbered from 1."""

    def __init__(self, evidence: Mapping[str, Any]) -> None:
        self.raw: Mapping[str, Any] = printable(evidence)
        evidence = self.raw
        self.workload = Workload.from_json(evidence["workload"])
        self.quantity = Quantity(self.workload.objective, self.workload.batch)
        limit = evidence["limit"]
        self.metric = Metric(limit["metric"], limit["mode"] == "floor")
        self.limit = float(limit["limit"])
        trials = [Trial.from_json(raw) for raw in evidence["trials"]]
        self.trials = sorted(trials, key=self._order)
        self._numbers = {id(trial): n for n, trial in enumerate(self.trials, 1)}

    def _order(self, trial: Trial) -> tuple[bool, float]:
        value = self.quantity.of(trial)
        sign = -1.0 if self.quantity.more_is_better else 1.0
        return (value is None, sign * (value or 0.0))

    def number(self, trial: Trial) -> int:
        """The trial's number in every table and figure."""
        return self._numbers[id(trial)]

    def _by_key(self, key: str | None) -> Trial | None:
        return next((t for t in self.trials if key and t.key == key), None)

    @cached_property
    def reference(self) -> Trial | None:
        return self._by_key(self.raw.get("reference"))

    @cached_property
    def baseline(self) -> Trial | None:
        return self._by_key(self.raw.get("baseline"))

    @cached_property
    def winner(self) -> Trial | None:
        return self._by_key(self.raw.get("winner"))

    @property
    def kept_original(self) -> bool:
        return bool(self.raw["verdict"]["kept_original"])

    @cached_property
    def final(self) -> Mapping[str, Any]:
        """The fresh rounds that gave the verdict (empty where none were run)."""
        return self.raw.get("final") or {}

    def final_ratio(self, name: str = "ratio") -> Ratio | None:
        raw = self.final.get(name)
        return Ratio.from_json(raw) if raw else None

    def ratio(self, trial: Trial) -> Ratio | None:
        """The trial's speed against the reference: of the fresh rounds for the winner."""
        if trial is self.winner and trial is not self.reference:
            return self.final_ratio() or trial.ratio
        return None if trial is self.reference else trial.ratio

    def scores(self, trial: Trial) -> list[Score]:
        """The trial's scores, those of the final judgement included."""
        found = list(trial.scores)
        if trial is self.winner:
            final = [Score.from_json(raw) for raw in self.final.get("scores") or []]
            found += [score for score in final if score not in found]
        return found

    def score(self, trial: Trial) -> Score | None:
        """The score that counts most: on the test samples where they were read."""
        scores = self.scores(trial)
        own = [score for score in scores if score.metric == self.metric.name]
        return max(own or scores, key=lambda score: score.split == "test", default=None)

    def value(self, trial: Trial) -> float | None:
        """The metric's value: for the reference as it stood beside the winner."""
        score = self.score(trial)
        if score or trial is not self.reference or self.winner is None:
            return score.value if score else None
        beside = self.score(self.winner)
        return beside.reference if beside else None

    def verdict(self, trial: Trial) -> str:
        """``reference``, one of the four accuracy verdicts, or nothing where none was given."""
        if trial is self.reference:
            return "reference"
        if trial is self.baseline or _equivalent(trial):
            return "equivalent"
        score = self.score(trial)
        return score.verdict if score else ""

    @cached_property
    def measured(self) -> list[Trial]:
        """Every trial that has a figure for the objective."""
        return [trial for trial in self.trials if self.quantity.of(trial) is not None]

    @cached_property
    def lost(self) -> list[Trial]:
        """Every trial that failed, computed wrongly or broke the limit."""
        return [trial for trial in self.trials if trial.status in TRIED_AND_LOST]

    @cached_property
    def layered(self) -> Trial | None:
        """The trial whose layers were compared: the winner, else the first that has any."""
        first = [self.winner] if self.winner else []
        return next((trial for trial in (*first, *self.trials) if trial.layers), None)

    @cached_property
    def next_best(self) -> Trial | None:
        """The fastest accepted candidate besides winner, reference and baseline."""
        known = (self.winner, self.reference, self.baseline)
        rest = (t for t in self.measured if not any(t is one for one in (*known, *self.lost)))
        return next((t for t in rest if self.verdict(t) in ACCEPTED), None)

    def role(self, trial: Trial) -> str:
        """What the trial is in this search: ``winner``, ``reference``, ``fp32 baseline`` …"""
        if trial is self.winner:
            return "original, kept" if trial is self.reference else "winner"
        if trial is self.reference:
            return "reference"
        return "fp32 baseline" if trial is self.baseline else trial.status

    def reason(self, trial: Trial) -> str:
        """Why the trial was not taken, in one line."""
        if trial.error:
            return trial.error
        score = self.score(trial)
        if trial.status == "broken" and score:
            return self._broken(score)
        if trial.status == "wrong" and finite(trial.difference) is not None:
            return f"outputs differ by {portion(trial.difference)} of their range"
        if trial.status in NOT_REACHED:
            return "built, but not raced" if trial.status == "built" else "not reached in time"
        return "no reason was recorded" if trial.status in TRIED_AND_LOST else ""

    def _broken(self, score: Score) -> str:
        metric = self.metric
        if score.drop is None:
            return f"{metric.title} {metric.value(score.value)}, limit {metric.value(score.limit)}"
        verb = "rose" if metric.error else "dropped"
        drop, limit = metric.loss(score.drop), metric.loss(score.limit)
        return f"{metric.title} {verb} by {drop}, limit {limit}"

    @cached_property
    def short_names(self) -> dict[int, str]:
        """A label for each trial's number: techniques, engine and precision.

        Settings are added only where two candidates would read the same.
        """
        brief = {self.number(t): _brief(t) for t in self.trials}
        often = Counter(brief.values())
        full = {self.number(t): " ".join([brief[self.number(t)], *_rest(t)]) for t in self.trials}
        return {n: full[n] if often[name] > 1 else name for n, name in brief.items()}

    def short(self, trial: Trial) -> str:
        return self.short_names[self.number(trial)]


def _equivalent(trial: Trial) -> bool:
    """What the search's own checks say; equivalent candidates need no accuracy test."""
    difference = finite(trial.difference)
    unchanged = trial.facts.get("decisions_changed") == 0
    return unchanged and difference is not None and difference <= EQUIVALENT


def printable(value: Any) -> Any:
    """``value`` with every control and direction-changing character in its texts replaced.

    Names and messages come from files and child processes: they must steer neither a terminal
    nor the page.
    """
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c in "\n\t" else " " for c in value)
    if isinstance(value, Mapping):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list | tuple) else value


def techniques(trial: Trial) -> list[Use]:
    """The trial's techniques, in the order they are applied."""
    return [use for family, use in trial.plan.steps if family == "techniques"]


def precision(trial: Trial) -> str:
    """The arithmetic its engine was asked for; ``f32`` where nothing was said."""
    return str(dict(trial.plan.engine.options).get("precision") or "f32")


def settings(trial: Trial) -> tuple[tuple[str, Any], ...]:
    """The engine options that were set, precision aside."""
    options = trial.plan.engine.options
    return tuple((k, v) for k, v in options if k != "precision" and v not in (None, (), False, ""))


def _brief(trial: Trial) -> str:
    parts = [use.name for use in techniques(trial)] + [trial.plan.engine.name]
    kind = precision(trial)
    return " + ".join(parts) + ("" if kind == "f32" else f" {kind}")


def _rest(trial: Trial) -> list[str]:
    options = [pair for use in techniques(trial) for pair in use.options]
    shown = [*options, *settings(trial)]
    return [f"{k}={len(v) if isinstance(v, tuple) else v}" for k, v in shown if v]
