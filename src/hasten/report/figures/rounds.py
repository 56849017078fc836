"""The final race round by round: each round's ratio beside the verdict's interval."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from hasten.report.figures.scene import Axis, Box, Dot, Line, Scene, Text, text_width
from hasten.report.units import duration, finite
from hasten.types import Ratio


def paired(
    reference: Sequence[Sequence[float]], winner: Sequence[Sequence[float]]
) -> list[tuple[float, float]]:
    """Per round the median seconds per call of both sides; rounds without calls are left out."""
    pairs = zip(reference, winner, strict=False)
    return [(median(a), median(b)) for a, b in pairs if a and b and median(a) and median(b)]


def scene(pairs: Sequence[tuple[float, float]], ratio: Ratio | None, width: float = 960.0) -> Scene:
    """A dot per round; the band is the recorded interval, the line the recorded ratio."""
    height = 220.0
    canvas = Scene(width, height, "Speed ratio of every final round")
    top, bottom, left, right = 34.0, height - 44.0, 58.0, width - 12.0
    ratios = [a / b for a, b in pairs]
    ends = [ratio.low, ratio.high, ratio.value] if ratio else []
    known = [value for value in (*ratios, *ends) if finite(value) is not None] or [1.0]
    air = 0.15 * (max(known) - min(known)) or 0.05 * max(known)
    y = Axis(min(known) - air, max(known) + air, bottom, top)
    for value in y.ticks(4):
        canvas.add(
            Line(left, y(value), right, y(value)),
            Text(left - 7, y(value) + 4, f"{value:.4g}×", "muted", anchor="end"),
        )
    if ratio and finite(ratio.low) is not None and finite(ratio.high) is not None:
        high, low = y(ratio.high), y(ratio.low)
        canvas.add(
            Box(left, high, right - left, low - high, "accepted", 0.16),
            Line(left, y(ratio.value), right, y(ratio.value), "accepted", 1.4),
        )
    pitch = (right - left) / max(len(ratios), 1)
    for index, (value, (before, after)) in enumerate(zip(ratios, pairs, strict=True)):
        x = left + pitch * (index + 0.5)
        title = f"round {index + 1}: {duration(before)} / {duration(after)} = {value:.2f}×"
        canvas.add(Dot(x, y(value), 4.5, "winner", "paper", 1, title))
        if pitch >= text_width("00", 12) + 4:
            canvas.add(Text(x, bottom + 17, str(index + 1), "muted", 12, "middle"))
    canvas.add(
        Line(left, bottom, right, bottom, "faint"),
        Text(4, top - 18, "Speed ratio to the reference", "ink", 12, bold=True),
        Text((left + right) / 2, bottom + 35, "Round", "ink", 12, "middle", bold=True),
    )
    return canvas
