"""Whether it still works: accuracy verdicts, the classes, and the layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hasten.report import units
from hasten.report.figures.layers import worst
from hasten.report.record import Record
from hasten.types import Score, Trial

FOLD_FROM = 30
SHOWN = 20
MARKED_LOSS = 0.01
"""A class that loses more is marked, where no limit says otherwise."""


@dataclass(frozen=True)
class ScoreRow:
    """One judgement on one split."""

    number: int
    name: str
    winner: bool
    metric: str
    split: str
    n: str
    reference: str
    value: str
    drop: str
    bound: str
    limit: str
    verdict: str
    needed: str


@dataclass(frozen=True)
class ClassRow:
    """One class before and after; places on the track in per cent."""

    label: str
    n: str
    before: str
    after: str
    change: str
    worse: bool
    left: float
    width: float
    before_at: float
    after_at: float


@dataclass(frozen=True)
class LayerRow:
    """One layer's ratio; ``place`` is its position in the model, from 1."""

    place: int
    name: str
    ratio: str
    value: float
    worst: bool


def score_rows(record: Record) -> list[ScoreRow]:
    """The winner's judgements first, then those of the others by speed."""
    order = sorted(record.trials, key=lambda trial: trial is not record.winner)
    return [
        _score_row(record, trial, score)
        for trial in order
        for score in sorted(record.scores(trial), key=lambda score: score.split != "test")
    ]


def _score_row(record: Record, trial: Trial, score: Score) -> ScoreRow:
    metric = units.Metric(score.metric, score.drop is None)
    write = metric.value if metric.floor else metric.loss
    return ScoreRow(
        record.number(trial),
        record.short(trial),
        trial is record.winner,
        metric.title,
        score.split,
        units.count(score.n),
        metric.value(score.reference),
        metric.value(score.value),
        units.NONE if score.drop is None else metric.loss(score.drop),
        write(score.bound),
        write(score.limit),
        score.verdict,
        units.count(score.needed) if score.needed else units.NONE,
    )


def class_rows(record: Record) -> list[ClassRow]:
    """Every class, in the order of the labels."""
    rows = record.raw.get("per_class") or []
    known = [
        v for row in rows for v in (row["before"], row["after"]) if units.finite(v) is not None
    ]
    low = min(known, default=0.0)
    low = max(0.0, low - 0.05 * (1 - low))
    most = record.limit if not record.metric.floor and record.metric.share else MARKED_LOSS
    return [_class_row(row, low, most) for row in rows]


def _class_row(row: dict[str, Any], low: float, most: float) -> ClassRow:
    before, after = units.finite(row["before"]), units.finite(row["after"])
    span = 1 - low or 1.0
    places = [100 * ((low if v is None else v) - low) / span for v in (before, after)]
    change = None if before is None or after is None else after - before
    metric = units.Metric("accuracy")
    return ClassRow(
        str(row["label"]),
        units.count(row["n"]),
        units.percent(before, 1),
        units.percent(after, 1),
        metric.change(change),
        change is not None and change < -most,
        min(places),
        abs(places[1] - places[0]),
        *places,
    )


def folded(record: Record, rows: list[ClassRow]) -> tuple[list[ClassRow], list[ClassRow]]:
    """What to show at once, and all of them where that is not all: the worst of a long list."""
    if len(rows) <= FOLD_FROM:
        return rows, []
    losses = sorted(
        zip(record.raw["per_class"], rows, strict=True), key=lambda pair: _loss(pair[0])
    )
    return [row for _, row in losses[:SHOWN]], rows


def _loss(row: dict[str, Any]) -> float:
    before, after = units.finite(row["before"]), units.finite(row["after"])
    return 0.0 if before is None or after is None else after - before


def layer_rows(trial: Trial) -> list[LayerRow]:
    """Every layer in the model's order, the worst marked."""
    marked = worst(trial.layers)
    return [
        LayerRow(place, name, _ratio(value), value, name in marked)
        for place, (name, value) in enumerate(trial.layers.items(), 1)
    ]


def _ratio(value: float) -> str:
    known = units.finite(value)
    if known is None:
        return "no error" if value and value > 0 else units.NONE
    return units.minus(f"{known:.1f} dB")
