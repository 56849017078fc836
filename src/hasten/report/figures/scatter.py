"""A regression's answers: each against the truth, and how its errors are spread."""

from __future__ import annotations

from collections.abc import Sequence

from hasten.report.figures.scene import Axis, Box, Dot, Line, Scene, Text
from hasten.report.units import digits, tick

GAP, HEIGHT, BINS = 44.0, 300.0, 24


def scene(points: Sequence[tuple[float, float]], name: str, width: float = 960.0) -> Scene:
    """Pairs of truth and answer: the scatter, and beside it (below, where narrow) the errors."""
    wide = width > 600
    each = (width - GAP) / 2 if wide else width
    canvas = Scene(width, HEIGHT if wide else 2 * HEIGHT, f"Truth, answer and error: {name}")
    _scatter(canvas, points, name, each)
    errors = [answer - truth for truth, answer in points]
    _histogram(canvas, errors, name, (each + GAP, 0.0) if wide else (0.0, HEIGHT), each)
    return canvas


def _scatter(canvas: Scene, points: Sequence[tuple[float, float]], name: str, width: float) -> None:
    values = [value for point in points for value in point] or [0.0, 1.0]
    air = 0.05 * (max(values) - min(values)) or 1.0
    low, high = min(values) - air, max(values) + air
    left, top, right, bottom = 52.0, 34.0, width - 10, HEIGHT - 46
    x, y = Axis(low, high, left, right), Axis(low, high, bottom, top)
    _frame(canvas, x, y, (f"Answered: {name}", f"True: {name}"), 0.0)
    canvas.add(Line(x(low), y(low), x(high), y(high), "faint", 1.2, (4, 4)))
    for truth, answer in points:
        title = f"true {digits(truth, 4)}, answered {digits(answer, 4)}"
        canvas.add(Dot(x(truth), y(answer), 2.6, "accepted", "paper", 0.6, title))


def _histogram(
    canvas: Scene, errors: Sequence[float], name: str, corner: tuple[float, float], width: float
) -> None:
    most = max((abs(error) for error in errors), default=1.0) or 1.0
    counts = [0] * BINS
    for error in errors:
        counts[min(BINS - 1, int((error + most) / (2 * most) * BINS))] += 1
    left, right = corner[0] + 52, corner[0] + width - 10
    top, bottom = corner[1] + 34, corner[1] + HEIGHT - 46
    x, y = Axis(-most, most, left, right), Axis(0.0, 1.08 * max(counts, default=1), bottom, top)
    _frame(canvas, x, y, ("Samples", f"Error: {name}"), corner[0])
    step = (right - left) / BINS
    for number, count in enumerate(counts):
        if count:
            bounds = [most * (2 * (number + side) / BINS - 1) for side in (0, 1)]
            title = f"{digits(bounds[0])} to {digits(bounds[1])}: {count}"
            place = (left + number * step + 0.5, y(count))
            canvas.add(Box(*place, step - 1, bottom - y(count), "accepted", 0.85, title))
    canvas.add(Line(x(0), bottom, x(0), top, "ink", 1, (3, 3)))


def _frame(canvas: Scene, x: Axis, y: Axis, titles: tuple[str, str], left: float) -> None:
    """Both axes with their titles: the upward one above, the other below."""
    bottom, top = y.start, y.stop
    canvas.add(Text(left + 4, top - 18, titles[0], "ink", 12, bold=True))
    for value in y.ticks(5):
        canvas.add(
            Line(x.start, y(value), x.stop, y(value)),
            Text(x.start - 7, y(value) + 4, tick(value), "muted", anchor="end"),
        )
    canvas.add(Line(x.start, bottom, x.stop, bottom, "faint"))
    for value in x.ticks(5):
        canvas.add(
            Line(x(value), bottom, x(value), bottom + 4, "faint"),
            Text(x(value), bottom + 17, tick(value), "muted", anchor="middle"),
        )
    middle = (x.start + x.stop) / 2
    canvas.add(Text(middle, bottom + 36, titles[1], "ink", 12, "middle", True))
