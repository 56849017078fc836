"""Every candidate in one row by speed: the main picture where all compute the same."""

from __future__ import annotations

from collections.abc import Sequence

from hasten.report.figures import marks
from hasten.report.figures.candidates import Candidate, candidates, told
from hasten.report.figures.scene import Axis, Line, Scene, Text, shorten, spanning, text_width
from hasten.report.record import Record


def scene(record: Record, width: float = 960.0, heading: Sequence[str] = ()) -> Scene:
    """The picture at a nominal width: names beside the rows, above them where it is narrow."""
    rows = sorted(candidates(record), key=lambda c: record.number(c.trial))
    beside = width > 600
    pitch = 27.0 if beside else 42.0
    title = f"{record.quantity.title} of every candidate"
    described = "; ".join(f"{record.short(c.trial)}: {told(record, c)}" for c in rows)
    canvas = Scene(width, 0, title, described)
    top = marks.heading(canvas, heading)
    missing = len(record.trials) - len(rows)
    notes = [f"{missing} without a figure, not plotted"] if missing else []
    top = marks.legend(canvas, [c.kind for c in rows], notes, 4, top + 14, width - 4) + 16
    bottom = top + pitch * len(rows) + 4
    canvas.height = bottom + 46
    names = [text_width(_name(record, c), 12, c.kind == "winner") for c in rows]
    left = min(max(names, default=0.0) + 16, 0.42 * width) if beside else 4.0
    speeds = [v for c in rows for v in (c.speed, *(c.interval or ()))] or [1.0]
    figures = max((text_width(record.quantity.text(c.speed), 12) for c in rows), default=0.0)
    axis = spanning(speeds, left + 10, width - 24 - figures)
    marks.speed_axis(canvas, record.quantity, axis, (left, width - 8), bottom)
    for index, candidate in enumerate(rows):
        line = top + pitch * (index + 0.5)
        _row(canvas, record, candidate, axis, (left, line if beside else line + 8))
    return canvas


def _name(record: Record, candidate: Candidate) -> str:
    return f"#{record.number(candidate.trial)} {record.short(candidate.trial)}"


def _row(
    canvas: Scene, record: Record, candidate: Candidate, axis: Axis, spot: tuple[float, float]
) -> None:
    (left, y), kind = spot, candidate.kind
    x, strong = axis(candidate.speed), kind in ("winner", "kept")
    ends = sorted(axis(v) for v in candidate.interval or (candidate.speed,) * 2)
    beside = left > 4
    name = shorten(_name(record, candidate), 12, left - 8 if beside else canvas.width - 12)
    place = (left - 8, y + 4, "end") if beside else (4.0, y - 14, "start")
    tint = marks.label_colour(kind)
    figure = max(ends[-1], x + marks.radius(kind)) + 7
    title = f"{candidate.trial.plan.name}: {told(record, candidate)}"
    canvas.add(
        Line(left, y, canvas.width - 8, y),
        Text(place[0], place[1], name, tint, 12, place[2], bold=strong),
        *marks.whisker(kind, (ends[0], ends[-1]), (y, y)),
        *marks.mark(kind, x, y, title),
        Text(figure, y + 4, record.quantity.text(candidate.speed), tint, 12, halo=True),
    )
