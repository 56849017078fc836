"""Every plan that was tried: the full table, and why those that failed did."""

from __future__ import annotations

from dataclasses import dataclass

from hasten.report import units
from hasten.report.record import NOT_REACHED, Record
from hasten.types import Trial

LONG = 220


@dataclass(frozen=True)
class Cell:
    """A table cell: its text and what it sorts by (``None`` sorts last)."""

    text: str
    key: float | None


@dataclass(frozen=True)
class CandidateRow:
    """One trial as the big table shows it."""

    number: int
    name: str
    role: str
    winner: bool
    figure: Cell
    ratio: Cell
    interval: str
    quality: Cell
    verdict: str
    p95: Cell
    memory: Cell
    size: Cell
    spent: Cell
    cached: bool


@dataclass(frozen=True)
class LostRow:
    """One trial that was not taken, with its reason; a long one has its rest apart."""

    number: int
    name: str
    status: str
    reason: str
    more: str


def rows(record: Record) -> list[CandidateRow]:
    """Every trial, fastest first."""
    return [_row(record, trial) for trial in record.trials]


def _row(record: Record, trial: Trial) -> CandidateRow:
    ratio, figure = record.ratio(trial), record.quantity.of(trial)
    value = units.finite(ratio.value) if ratio else None
    return CandidateRow(
        record.number(trial),
        trial.plan.name,
        record.role(trial),
        trial is record.winner,
        Cell(record.quantity.text(figure), figure),
        Cell(units.times(value), value),
        units.interval(ratio),
        _quality(record, trial),
        record.verdict(trial),
        Cell(units.duration(trial.p95_seconds), units.finite(trial.p95_seconds)),
        Cell(units.size(trial.memory_bytes), units.finite(trial.memory_bytes)),
        Cell(units.size(trial.size_bytes), units.finite(trial.size_bytes)),
        Cell(units.duration(trial.spent), units.finite(trial.spent)),
        trial.cached,
    )


def _quality(record: Record, trial: Trial) -> Cell:
    score = record.score(trial)
    if score is None:
        return Cell(units.NONE, None)
    metric = units.Metric(score.metric, score.drop is None)
    drop = units.finite(score.drop)
    if drop is None:
        return Cell(metric.value(score.value), units.finite(score.value))
    return Cell(metric.change(-drop), -drop)


def lost(record: Record) -> list[LostRow]:
    """Those that failed, computed wrongly or broke the limit, then those never reached."""
    unreached = [trial for trial in record.trials if trial.status in NOT_REACHED]
    return [_lost(record, trial) for trial in (*record.lost, *unreached)]


def skipped(record: Record) -> list[tuple[str, str]]:
    """Plans and plug-ins that were left out before anything was built, each with why."""
    return [(str(raw["plan"]), str(raw["why"])) for raw in record.raw.get("skipped") or []]


def _lost(record: Record, trial: Trial) -> LostRow:
    reason = record.reason(trial).strip()
    first, _, rest = reason.partition("\n")
    if len(first) > LONG:
        first, rest = first[:LONG] + "…", reason
    status = {"wrong": "wrong numbers", "broken": "breaks the limit"}.get(
        trial.status, trial.status
    )
    return LostRow(record.number(trial), trial.plan.name, status, first, rest.strip())
