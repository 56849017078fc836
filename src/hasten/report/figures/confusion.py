"""Which class was taken for which: a square of cells, readable from 2 classes to 100."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hasten.report.figures.scene import Box, Line, Scene, Text, shorten, text_width

LARGEST_CELL = 56.0
SQUARE = 620.0
"""The most that the cells together take: a page can be scrolled, a screen not widened."""


def scene(table: Sequence[Sequence[int]], names: Sequence[str], width: float = 960.0) -> Scene:
    """Rows are what is true, columns what was answered. The darker, the larger the row's share.

    Right answers lie on the diagonal, in another colour. Cells that are wide enough hold counts.
    """
    count = len(table)
    room = 150.0 if width > 600 else 86.0
    labels = [f"{n} {name}" if name != str(n) else name for n, name in enumerate(names)]
    longest = max((text_width(label, 12) for label in labels), default=0.0)
    left = min(longest + 12, room) + 18
    cell = min((min(width - 6, left + SQUARE) - left) / max(count, 1), LARGEST_CELL)
    top, span = 44.0, cell * count
    canvas = Scene(width, top + span + 14, "Confusion matrix", _told(table, names))
    canvas.add(
        Text(4, 16, "True", "ink", 12, bold=True),
        Text(left, 16, "Answered", "ink", 12, bold=True),
    )
    every = max(1, math.ceil(14 / cell)) if cell < 14 else 1
    if every > 1:
        every = next(step for step in (2, 5, 10, 20, 50) if step >= min(every, 50))
    for n in range(0, count, every):
        at = (n + 0.5) * cell
        label = shorten(labels[n], 12, left - 12)
        canvas.add(
            Text(left - 8, top + at + 4, label, "muted", 12, "end"),
            Text(left + at, top - 8, str(n), "muted", 12 if cell >= 18 else 11, "middle"),
        )
    for n, row in enumerate(table):
        _row(canvas, row, n, names, (left, top, cell))
    edges = (left, top, left + span, top + span)
    canvas.add(
        Line(edges[0], edges[1], edges[2], edges[1], "rule"),
        Line(edges[0], edges[3], edges[2], edges[3], "rule"),
        Line(edges[0], edges[1], edges[0], edges[3], "rule"),
        Line(edges[2], edges[1], edges[2], edges[3], "rule"),
    )
    return canvas


def _row(
    canvas: Scene,
    row: Sequence[int],
    number: int,
    names: Sequence[str],
    place: tuple[float, float, float],
) -> None:
    left, top, cell = place
    total = sum(row) or 1
    size = min(12.0, 0.42 * cell)
    for column, value in enumerate(row):
        if not value:
            continue
        right = number == column
        share = value / total
        # Rare mistakes would be invisible in proportion: their square root is drawn.
        depth = 0.12 + 0.78 * (share if right else math.sqrt(share))
        title = f"{names[number]} taken for {names[column]}: {value:,} of {total:,}"
        if right:
            title = f"{names[number]}: {value:,} of {total:,} right"
        x, y = left + column * cell, top + number * cell
        gap = 0.5 if cell > 8 else 0.0
        fill = "winner" if right else "broken"
        canvas.add(Box(x + gap, y + gap, cell - 2 * gap, cell - 2 * gap, fill, depth, title))
        text = f"{value:,}" if cell >= 34 else str(value)
        if size >= 7.5 and text_width(text, size) <= cell - 2:
            tint = "paper" if depth > 0.55 else "ink"
            canvas.add(Text(x + cell / 2, y + cell / 2 + 0.36 * size, text, tint, size, "middle"))


def _told(table: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """For screen readers: how much of each class was right."""
    shares = [
        f"{name}: {row[n]} of {sum(row)} right"
        for n, (name, row) in enumerate(zip(names, table, strict=True))
    ]
    return "; ".join(shares)
