"""Curves over epochs or seconds, in panels: two beside each other, or below where it is narrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hasten.report.figures.scene import Axis, Dot, Line, Scene, Text, spanning, text_width
from hasten.report.units import tick

GAP, HEIGHT = 44.0, 250.0
MOST_POINTS, MOST_DOTS = 250, 40
WIDE_RANGE = 10.0
"""From this ratio of largest to smallest on, an axis is logarithmic."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One curve, points marked on it, and a level to reach.

    ``marks`` are points with what they say; ``best`` is the one that stands out. ``shares`` are
    written in per cent and never run over 100.
    """

    title: str
    across: str
    curve: Sequence[Point]
    marks: Sequence[tuple[float, float, str]] = ()
    best: Point | None = None
    level: tuple[float, str] | None = None
    shares: bool = False
    from_zero: bool = False


def scene(panels: Sequence[Panel], width: float = 960.0) -> Scene:
    """The panels at a nominal width."""
    columns = min(2, len(panels)) if width > 600 else 1
    rows = math.ceil(len(panels) / columns)
    named = ", ".join(f"{panel.title} by {panel.across.lower()}" for panel in panels)
    canvas = Scene(width, rows * HEIGHT, named)
    each = (width - GAP * (columns - 1)) / columns if len(panels) > 1 else min(width, 700.0)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        _panel(canvas, panel, (column * (each + GAP), row * HEIGHT), each)
    return canvas


def sparkline(series: Sequence[Sequence[float]], width: float = 150.0) -> Scene:
    """A time series without axes: its shape only."""
    height = 0.5 * width
    canvas = Scene(width, height, "The series")
    values = [value for column in series for value in column] or [0.0]
    y = spanning(values, height - 4, 4, math.inf)
    for column, colour in zip(series, ("accepted", "broken", "good"), strict=False):
        x = Axis(0, max(len(column) - 1, 1), 2, width - 2)
        _line(canvas, [(x(n), y(value)) for n, value in enumerate(column)], colour, 1.3)
    return canvas


def _panel(canvas: Scene, panel: Panel, corner: Point, width: float) -> None:
    left, top = corner[0] + 52, corner[1] + 34
    right, bottom = corner[0] + width - 10, corner[1] + HEIGHT - 46
    x, y = _axes(panel, (left, right), (top, bottom))
    canvas.add(Text(corner[0] + 4, top - 18, panel.title, "ink", 12, bold=True))
    for value in y.ticks(5):
        text = tick(100 * value) + " %" if panel.shares else tick(value)
        canvas.add(
            Line(left, y(value), right, y(value)),
            Text(left - 7, y(value) + 4, text, "muted", anchor="end"),
        )
    canvas.add(Line(left, bottom, right, bottom, "faint"))
    for value in _across(x, int((right - left) / 56), panel):
        canvas.add(
            Line(x(value), bottom, x(value), bottom + 4, "faint"),
            Text(x(value), bottom + 17, tick(value), "muted", anchor="middle"),
        )
    canvas.add(Text((left + right) / 2, bottom + 36, panel.across, "ink", 12, "middle", True))
    if panel.level:
        _level(canvas, panel.level, y, (left, right))
    points = [(x(a), y(b)) for a, b in _thin(panel.curve)]
    _line(canvas, points, "accepted", 1.8)
    _dots(canvas, panel, x, y)


def _axes(panel: Panel, across: Point, down: Point) -> tuple[Axis, Axis]:
    places = [*panel.curve, *((a, b) for a, b, _ in panel.marks)]
    values = [b for _, b in places] + ([panel.level[0]] if panel.level else [])
    if panel.from_zero:
        values.append(0.0)
    y = spanning(values, down[1], down[0], math.inf if panel.shares else WIDE_RANGE)
    if panel.shares:
        y = Axis(max(y.low, 0.0), min(y.high, 1.0), y.start, y.stop)
    if panel.from_zero and min(values) >= 0:
        y = Axis(0.0, y.high, y.start, y.stop)
    return Axis(0.0, max(a for a, _ in places) or 1.0, across[0] + 4, across[1] - 6), y


def _across(x: Axis, about: int, panel: Panel) -> list[float]:
    """Epochs are whole numbers."""
    found = x.ticks(max(2, min(about, 8)))
    whole = panel.across == "Epoch"
    return [value for value in found if not whole or abs(value - round(value)) < 1e-9]


def _level(canvas: Scene, level: tuple[float, str], y: Axis, edges: Point) -> None:
    at = y(level[0])
    over = at - 5 if at - 20 > min(y.start, y.stop) else at + 15
    canvas.add(
        Line(edges[0], at, edges[1], at, "good", 1.4, (6, 4)),
        Text(edges[1] - text_width(level[1], 12), over, level[1], "good", 12, halo=True),
    )


def _dots(canvas: Scene, panel: Panel, x: Axis, y: Axis) -> None:
    for a, b, said in panel.marks:
        if (a, b) == panel.best:
            canvas.add(Dot(x(a), y(b), 6.5, "paper", "winner", 2, said))
            canvas.add(Dot(x(a), y(b), 3.2, "winner", "", 0, said))
        elif len(panel.marks) <= MOST_DOTS:
            canvas.add(Dot(x(a), y(b), 3.2, "accepted", "paper", 1, said))


def _thin(points: Sequence[Point]) -> list[Point]:
    """Not more points than can be told apart; the last always."""
    every = math.ceil(len(points) / MOST_POINTS) or 1
    kept = list(points[::every])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def _line(canvas: Scene, points: Sequence[Point], colour: str, width: float) -> None:
    for (x1, y1), (x2, y2) in pairwise(points):
        canvas.add(Line(x1, y1, x2, y2, colour, width))
