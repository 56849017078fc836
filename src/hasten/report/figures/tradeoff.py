"""The main picture: every candidate by quality and speed, with its intervals and the limit.

Across lies the objective, upwards the quality. A horizontal bar is the confidence interval of the
speed ratio to the reference; a vertical one runs to the bound that is held against the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hasten.report.figures import marks
from hasten.report.figures.candidates import (
    Candidate,
    candidates,
    limit_line,
    lowest,
    perfect,
    told,
)
from hasten.report.figures.labels import Area, Request, free_spot, place
from hasten.report.figures.scene import Axis, Box, Line, Scene, Text, shorten, spanning, text_width
from hasten.report.record import Record
from hasten.report.units import Metric

LANE = 30.0
CROWD = 25
"""From so many candidates on, those dropped early have neither names nor intervals."""
LANES = {"equivalent": "equivalent", "below": "far below", "unjudged": "not judged"}


@dataclass(frozen=True)
class Frame:
    """The plotting area: both axes and where each lane's middle lies."""

    x: Axis
    y: Axis
    left: float
    top: float
    right: float
    bottom: float
    lanes: dict[str, float]

    def at(self, candidate: Candidate) -> tuple[float, float]:
        """Where a candidate's mark belongs."""
        on_axis = not candidate.lane and candidate.quality is not None
        y = self.y(candidate.quality or 0.0) if on_axis else self.lanes[candidate.lane]
        return self.x(candidate.speed), y

    def across(self, candidate: Candidate) -> tuple[float, float]:
        """The ends of its speed interval (its own place where there is none)."""
        low, high = candidate.interval or (candidate.speed, candidate.speed)
        ends = sorted((self.x(low), self.x(high)))
        return ends[0], ends[1]

    def foot(self, candidate: Candidate) -> float | None:
        """Where the line to its bound ends, at the edge of the axis at the latest."""
        if candidate.bound is None or candidate.lane:
            return None
        return self.y(max(candidate.bound, self.y.low))


def scene(record: Record, width: float = 960.0, heading: Sequence[str] = ()) -> Scene:
    """The picture at a nominal width; ``heading`` lines top a picture that stands alone."""
    shown = candidates(record)
    height = 0.54 * width + 20 * len(heading) if width > 600 else 480.0
    title = f"{record.metric.title} against {record.quantity.title.lower()} of every candidate"
    described = [f"{record.short(c.trial)}: {told(record, c)}" for c in reversed(shown)]
    canvas = Scene(width, height, title, "; ".join(described))
    top = marks.heading(canvas, heading)
    missing = len(record.trials) - len(shown)
    notes = [f"{missing} without a figure, not plotted"] if missing else []
    foot = marks.legend(canvas, [c.kind for c in shown], notes, 4, top + 14, width - 4)
    frame = _frame(record, shown, (width, height), foot + 42)
    _grid(canvas, record, frame)
    _labels(canvas, record, frame, shown)
    return canvas


def _frame(record: Record, shown: list[Candidate], size: tuple[float, float], top: float) -> Frame:
    used = [lane for lane in LANES if any(c.lane == lane for c in shown)]
    left, right, bottom = (66.0 if used else 52.0), size[0] - 12.0, size[1] - 46.0
    head = [lane for lane in used if lane == "equivalent"]
    feet = [lane for lane in used if lane != "equivalent"]
    floor = bottom - LANE * len(feet)
    lanes = {lane: top + LANE / 2 for lane in head}
    lanes |= {lane: floor + LANE * (n + 0.5) for n, lane in enumerate(feet)}
    speeds = [v for c in shown for v in (c.speed, *(c.interval or ()))]
    x = spanning(speeds, left + 14, right - 12)
    inside = [v for c in shown if not c.lane for v in (c.quality, c.bound) if v is not None]
    y = Axis(*_range(record, inside), floor, top + LANE * len(head))
    return Frame(x, y, left, top, right, bottom, lanes)


def _range(record: Record, values: list[float]) -> tuple[float, float]:
    """The lowest and highest quality on the axis: the limit and the reference always show."""
    best, limit = perfect(record), limit_line(record)
    visible = [value for value in values if value >= lowest(record)]
    known = [*visible, limit, *([] if best is None else [best])]
    span = max(known) - min(known) or abs(limit) or 1.0
    return min(known) - 0.14 * span, max(known) + 0.12 * span


def _grid(canvas: Scene, record: Record, frame: Frame) -> None:
    metric, limit = record.metric, frame.y(limit_line(record))
    for value in frame.y.ticks():
        y = frame.y(value)
        canvas.add(
            Line(frame.left, y, frame.right, y),
            Text(frame.left - 7, y + 4, _tick(metric, value), "muted", anchor="end"),
        )
    foot = frame.bottom - (LANE if "unjudged" in frame.lanes else 0)
    canvas.add(
        Box(frame.left, limit, frame.right - frame.left, foot - limit, "broken", 0.07),
        Line(frame.left, limit, frame.right, limit, "broken", 1.4, (6, 4)),
    )
    for lane, y in frame.lanes.items():
        edge = y + LANE / 2 if lane == "equivalent" else y - LANE / 2
        canvas.add(
            Line(frame.left, edge, frame.right, edge, "faint", 1, (2, 3)),
            Text(frame.left - 7, y + 4, LANES[lane], "muted", 11, "end"),
        )
    marks.speed_axis(canvas, record.quantity, frame.x, (frame.left, frame.right), frame.bottom)
    canvas.add(Text(4, frame.top - 12, _y_title(metric), "ink", 12, bold=True))


def _tick(metric: Metric, value: float) -> str:
    shown = 100 * value if metric.share or (metric.error and not metric.floor) else value
    if abs(shown) < 1e-9:
        return "0"
    return (f"{shown:.4g}" if metric.floor else f"{shown:+.3g}").replace("-", "−")


def _y_title(metric: Metric) -> str:
    if metric.floor:
        return f"{metric.title} ({metric.unit})" if metric.unit else metric.title
    if metric.error:
        return f"Quality by {metric.title} (change, per cent)"
    unit = " (percentage points)" if metric.share else ""
    return f"Change in {metric.title}{unit}"


def _labels(canvas: Scene, record: Record, frame: Frame, shown: list[Candidate]) -> None:
    """Draw leader lines, then marks, then names: the most interesting get the best places."""
    crowd = len(shown) > CROWD
    order = [c for c in reversed(shown) if not crowd or c.kind != "dropped"]
    solid = [_covered(frame, candidate) for candidate in shown]
    limit = _limit_label(record, frame, solid)
    requests = [_request(record, frame, candidate) for candidate in order]
    bounds = Area(frame.left + 2, frame.top + 1, frame.right - 1, frame.bottom - 1)
    found = place(requests, solid=[*solid, limit[0]], soft=_thin(frame, order), bounds=bounds)
    labels = [limit[1]]
    for candidate, request, label in zip(order, requests, found, strict=True):
        if label:
            tint = marks.label_colour(candidate.kind)
            x, y, size, bold = label.x, label.y, request.size, request.bold
            labels.append(Text(x, y, label.text, tint, size, bold=bold, halo=True))
            if label.leader:
                canvas.add(Line(request.x, request.y, *label.leader, "faint", 0.9))
    for candidate in shown:
        _draw(canvas, record, frame, candidate, plain=candidate not in order)
    canvas.add(*labels)


def _covered(frame: Frame, candidate: Candidate) -> Area:
    (x, y), r = frame.at(candidate), marks.radius(candidate.kind) + 1
    return Area(x - r, y - r, x + r, y + r)


def _request(record: Record, frame: Frame, candidate: Candidate) -> Request:
    """Its name; else its role; else its number in the table."""
    strong = candidate.kind in ("winner", "kept")
    size = 13.0 if strong else 12.0
    room = max(0.42 * (frame.right - frame.left), 165.0)
    full = record.short(candidate.trial)
    name = shorten(full, size, room)
    number = f"#{record.number(candidate.trial)}"
    role = f"{record.role(candidate.trial)} {number}" if candidate.kind in marks.ROLES else number
    if name != full and room < 200:
        name = role
    if candidate.lane == "below" and candidate.quality is not None:
        write = record.metric.value if record.metric.floor else record.metric.change
        name, role = (f"{text} ({write(candidate.quality)})" for text in (name, role))
    texts = (name, role, number)
    (x, y), ends = frame.at(candidate), frame.across(candidate)
    radius = marks.radius(candidate.kind) + 1
    reach = (max(radius, x - ends[0] + 2), max(radius, ends[1] - x + 2))
    return Request(x, y, tuple(dict.fromkeys(texts)), radius, reach, size, strong)


def _draw(
    canvas: Scene, record: Record, frame: Frame, candidate: Candidate, *, plain: bool
) -> None:
    (x, y), foot = frame.at(candidate), frame.foot(candidate)
    if not plain:
        canvas.add(*marks.whisker(candidate.kind, frame.across(candidate), (y, y)))
    if foot is not None and not plain:
        canvas.add(*marks.whisker(candidate.kind, (x, x), (y, foot)))
    number = record.number(candidate.trial)
    title = f"#{number} {candidate.trial.plan.name}: {told(record, candidate)}"
    canvas.add(*marks.mark(candidate.kind, x, y, title))


def _limit_label(record: Record, frame: Frame, solid: list[Area]) -> tuple[Area, Text]:
    """Name the limit line at whichever end is free."""
    metric = record.metric
    shown = metric.value(record.limit) if metric.floor else metric.change(-record.limit)
    text = f"limit {shown}"
    width, y = text_width(text, 12, bold=True), frame.y(limit_line(record))
    places = [
        Area(left, top, left + width, top + 15)
        for top in (y + 3, y - 17)
        for left in (frame.right - width - 6, frame.left + 6, (frame.left + frame.right) / 2)
    ]
    area = free_spot(places, solid)
    return area, Text(area.left, area.top + 12, text, "broken", 12, bold=True, halo=True)


def _thin(frame: Frame, shown: list[Candidate]) -> list[Area]:
    """Lines that labels had better not cover: intervals, the limit, the grid, lane edges."""
    areas = []
    for candidate in shown:
        (x, y), (low, high) = frame.at(candidate), frame.across(candidate)
        foot = frame.foot(candidate)
        areas.append(Area(low, y - 4, high, y + 4))
        if foot is not None:
            areas.append(Area(x - 4, min(y, foot), x + 4, max(y, foot)))
    edges = [y + LANE / 2 if k == "equivalent" else y - LANE / 2 for k, y in frame.lanes.items()]
    levels = [frame.y(value) for value in frame.y.ticks()]
    return [*areas, *(Area(frame.left, y - 1, frame.right, y + 1) for y in [*edges, *levels])]
