"""What the main picture shows of each trial: its speed, its quality, and how sure both are."""

from __future__ import annotations

from dataclasses import dataclass

from hasten.report.figures import marks
from hasten.report.record import Record
from hasten.report.units import finite
from hasten.types import Score, Trial


@dataclass(frozen=True)
class Candidate:
    """One measured trial with what is drawn of it.

    ``quality`` and ``bound`` lie on the upward axis: a change against the reference where the
    limit is a drop, a value where it is a floor. A candidate without such a figure, or far below
    the axis, sits in the strip that ``lane`` names.
    """

    trial: Trial
    kind: str
    speed: float
    interval: tuple[float, float] | None
    quality: float | None
    bound: float | None
    lane: str = ""


def candidates(record: Record) -> list[Candidate]:
    """Every measured trial, those of most interest last so that they are drawn on top."""
    rank = list(marks.KINDS)
    found = [_candidate(record, trial) for trial in record.measured]
    return sorted(found, key=lambda candidate: -rank.index(candidate.kind))


def _candidate(record: Record, trial: Trial) -> Candidate:
    value, bound = quality(record, trial)
    lane = ""
    if value is None:
        alike = record.verdict(trial) in ("equivalent", "reference")
        lane = "equivalent" if alike else "unjudged"
    elif value < lowest(record):
        lane = "below"
    speed = record.quantity.of(trial) or 0.0
    interval = speed_interval(record, trial)
    return Candidate(trial, marks.kind(record, trial), speed, interval, value, bound, lane)


def speed_interval(record: Record, trial: Trial) -> tuple[float, float] | None:
    """The interval of the trial's ratio to the reference, carried over to its own figure."""
    ratio, value = record.ratio(trial), record.quantity.of(trial)
    if not ratio or not value or record.quantity.objective == "size":
        return None
    low, middle, high = (finite(v) for v in (ratio.low, ratio.value, ratio.high))
    if not low or not middle or not high:
        return None
    if record.quantity.more_is_better:
        return (value * low / middle, value * high / middle)
    return (value * middle / high, value * middle / low)


def quality(record: Record, trial: Trial) -> tuple[float | None, float | None]:
    """A trial's quality and its bound on the upward axis."""
    score = record.score(trial)
    if trial is record.reference or record.verdict(trial) == "equivalent":
        return perfect(record), None
    return (None, None) if score is None else _point(score, record.metric.floor)


def _point(score: Score, floor: bool) -> tuple[float | None, float | None]:
    if floor:
        return finite(score.value), finite(score.bound)
    drop, bound = finite(score.drop), finite(score.bound)
    return (None if drop is None else -drop), (None if bound is None else -bound)


def perfect(record: Record) -> float | None:
    """Where the reference lies on the upward axis; ``None`` where it has no place there."""
    if not record.metric.floor:
        return 0.0
    scores = (record.score(trial) for trial in record.trials)
    told = (finite(score.reference) for score in scores if score)
    known = next((value for value in told if value is not None), None)
    return 1.0 if known is None and record.metric.share else known


def limit_line(record: Record) -> float:
    """Where the limit lies on the upward axis."""
    return record.limit if record.metric.floor else -record.limit


def lowest(record: Record) -> float:
    """Below this a candidate goes to the strip at the foot, so that the axis stays readable."""
    best, limit = perfect(record), limit_line(record)
    span = abs(best - limit) if best is not None else 0.0
    return limit - 1.5 * (span or (15.0 if record.metric.unit == "dB" else 0.02))


def informative(record: Record) -> bool:
    """Whether quality tells candidates apart; else a plain ranking says more."""
    return len({c.quality for c in candidates(record) if c.quality is not None}) > 1


def told(record: Record, candidate: Candidate) -> str:
    """A candidate's figures in words, for tooltips and screen readers."""
    parts = [record.quantity.text(candidate.speed)]
    if candidate.quality is not None:
        metric = record.metric
        write = metric.value if metric.floor else metric.change
        parts.append(f"{metric.title} {write(candidate.quality)}")
    return ", ".join([*parts, marks.KINDS[candidate.kind]])
