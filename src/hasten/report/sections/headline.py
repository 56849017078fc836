"""The head of the page: the figures that matter most, before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hasten.report import units
from hasten.report.record import Record
from hasten.report.sections.speed import shares
from hasten.types import Trial


@dataclass(frozen=True)
class Tile:
    """One large figure with what it is and how sure it is."""

    label: str
    figure: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Change:
    """One property of reference, fp32 baseline and winner."""

    label: str
    reference: str
    baseline: str
    winner: str
    change: str
    worse: bool


def tiles(record: Record) -> list[Tile]:
    """The headline figures; only those that were recorded."""
    if record.winner is None or record.reference is None:
        return []
    found = [
        _speed(record, "ratio", f"{record.quantity.gain} than the original"),
        _objective(record, record.reference, record.winner),
        _speed(record, "baseline_ratio", f"{record.quantity.gain} than the best fp32"),
        _quality(record, record.winner),
        _arithmetic(record.winner),
    ]
    return [tile for tile in found if tile]


def _objective(record: Record, before: Trial, after: Trial) -> Tile | None:
    quantity = record.quantity
    told = quantity.text(quantity.of(after))
    if told == units.NONE:
        return None
    detail = "" if after is before else f"from {quantity.text(quantity.of(before))}"
    return Tile(quantity.title.lower(), told, detail)


def _speed(record: Record, name: str, label: str) -> Tile | None:
    ratio = record.final_ratio(name)
    if ratio is None or record.kept_original or units.finite(ratio.value) is None:
        return None
    sure = f"{units.percent(ratio.confidence)} interval {units.interval(ratio)}"
    return Tile(label, units.times(ratio.value), sure, "winner" if name == "ratio" else "")


def _quality(record: Record, winner: Trial) -> Tile | None:
    score, metric = record.score(winner), record.metric
    if score is None:
        return _alike(record, winner)
    own = units.Metric(score.metric, score.drop is None)
    detail = [record.verdict(winner)]
    if score.drop is not None:
        detail += [f"{metric.change(-score.drop)}, bound {metric.change(-score.bound)}"]
    elif score.verdict != "equivalent":
        detail += [f"bound {own.value(score.bound)}, limit {own.value(score.limit)}"]
    tone = {"broken": "warn", "unproven": "warn"}.get(score.verdict, "good")
    return Tile(f"{own.title}, {score.split}", own.value(score.value), ": ".join(detail), tone)


def _alike(record: Record, winner: Trial) -> Tile | None:
    """An equivalent winner needs no accuracy test; its largest difference is told instead."""
    if winner is record.reference or record.verdict(winner) != "equivalent":
        return None
    told = f"they differ by at most {units.portion(winner.difference)} of their range"
    return Tile("outputs, no decision changed", "equivalent", told, "good")


def _arithmetic(winner: Trial) -> Tile | None:
    by_work = next((bar for bar in shares(winner) if bar.label.startswith("multiply")), None)
    if by_work is None or not by_work.parts:
        return None
    most = max(by_work.parts, key=lambda part: part.share)
    figure = f"{units.percent(most.share)} {most.name}"
    return Tile("of the multiply-adds", figure, "by the runtime's profile")


def changes(record: Record) -> list[Change]:
    """Speed and everything that may have grown for it."""
    rows = [
        ("Median time per call", units.duration, lambda t: t.seconds_per_call),
        ("95th percentile", units.duration, lambda t: t.p95_seconds),
        ("Cold start", units.duration, lambda t: t.cold_start_seconds),
        ("Memory", units.size, lambda t: t.memory_bytes),
        ("Size on disk", units.size, lambda t: t.size_bytes),
    ]
    found = [_change(record, label, write, read) for label, write, read in rows]
    return [row for row in found if {row.reference, row.winner, row.baseline} != {units.NONE}]


def _change(
    record: Record,
    label: str,
    write: Callable[[float | None], str],
    read: Callable[[Trial], float | None],
) -> Change:
    who = (record.reference, record.baseline, record.winner)
    before, baseline, after = (units.finite(read(t)) if t else None for t in who)
    ratio = after / before if before and after is not None else None
    change = units.NONE if ratio is None else units.minus(f"{100 * (ratio - 1):+.0f} %")
    if record.kept_original:
        change = units.NONE
    worse = ratio is not None and ratio >= 1.005
    return Change(label, write(before), write(baseline), write(after), change, worse)
