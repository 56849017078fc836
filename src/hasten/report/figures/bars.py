"""Values beside each other with their intervals: a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hasten.report.figures.scene import Axis, Box, Line, Scene, Text, text_width

ROW = 34.0


@dataclass(frozen=True)
class Bar:
    """A value from 0 on, what is written at its end, and its interval where there is one."""

    label: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    first: bool = False
    """Whether it stands out: the one that the others are compared with."""


def scene(bars: Sequence[Bar], title: str, width: float = 960.0) -> Scene:
    """All bars at a nominal width; labels stand above them where it is narrow."""
    narrow = width < 600
    labels = 0.0 if narrow else 16 + max(text_width(bar.label, 13) for bar in bars)
    texts = 12 + max(text_width(bar.text, 12) for bar in bars)
    row = ROW + (18 if narrow else 0)
    canvas = Scene(width, row * len(bars) + 34, title)
    canvas.add(Text(0, 16, title, "ink", 13, bold=True))
    most = max(max(bar.value, bar.high or 0.0) for bar in bars) or 1.0
    x = Axis(0, most, labels, max(labels + 40, width - texts))
    for number, bar in enumerate(bars):
        top = 30 + row * number
        if narrow:
            canvas.add(Text(0, top + 12, bar.label, "ink", 13))
            top += 18
        else:
            canvas.add(Text(labels - 10, top + 18, bar.label, "ink", 13, "end"))
        colour = "muted" if bar.first else "accepted"
        end = x(bar.value)
        canvas.add(
            Box(x(0), top + 5, end - x(0), ROW - 14, colour, 0.75, f"{bar.label}: {bar.text}")
        )
        middle, edge = top + 5 + (ROW - 14) / 2, end
        if bar.low is not None and bar.high is not None:
            edge = max(end, x(bar.high))
            canvas.add(Line(x(bar.low), middle, x(bar.high), middle, "ink", 1.4))
        canvas.add(Text(edge + 8, middle + 4, bar.text, "ink", 12))
    return canvas
