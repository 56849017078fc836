"""What stands for a candidate in a figure: its kind, its mark and its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hasten.report.figures.scene import (
    Axis,
    Dot,
    Item,
    Line,
    Scene,
    Shape,
    Text,
    shorten,
    text_width,
)
from hasten.report.record import ACCEPTED, Quantity, Record
from hasten.types import Trial

KINDS = {
    "winner": "winner",
    "kept": "the original, kept",
    "reference": "reference (your model as it runs now)",
    "accepted": "within the limit",
    "dropped": "within the limit, dropped early as slower",
    "unproven": "unproven",
    "broken": "breaks the limit",
    "unjudged": "accuracy not judged",
}
"""Every kind of mark, in the order of the legend, with what it says."""

ROLES = ("winner", "kept", "reference")
RADIUS = {"winner": 8.0, "kept": 9.0, "reference": 7.0, "dropped": 4.0}


def kind(record: Record, trial: Trial) -> str:
    """The kind of a trial's mark: a key of ``KINDS``."""
    if trial is record.winner:
        return "kept" if trial is record.reference else "winner"
    verdict = record.verdict(trial)
    if verdict == "reference":
        return verdict
    if trial.status == "broken" or verdict == "broken":
        return "broken"
    if verdict in ACCEPTED:
        return "dropped" if trial.status == "dominated" else "accepted"
    return "unproven" if verdict else "unjudged"


def radius(kind: str) -> float:
    return RADIUS.get(kind, 5.0)


def mark(kind: str, x: float, y: float, title: str = "", *, small: bool = False) -> list[Item]:
    """The mark's shapes at a position; ``small`` for a legend."""
    r = min(radius(kind), 6.0) if small else radius(kind)
    if kind in ("reference", "kept"):
        inner = 0.7 * r if kind == "kept" else r
        points = ((x, y - inner), (x + inner, y), (x, y + inner), (x - inner, y))
        ring = [Dot(x, y, r, "paper", "winner", 2, title)] if kind == "kept" else []
        return [*ring, Shape(points, "ink", "paper", 1, title)]
    if kind == "winner":
        return [
            Dot(x, y, r, "paper", "winner", 2, title),
            Dot(x, y, 0.55 * r, "winner", "", 0, title),
        ]
    if kind == "broken":
        arm = r - 0.5
        return [
            Line(x - arm, y - arm, x + arm, y + arm, "broken", 2.2, title=title),
            Line(x - arm, y + arm, x + arm, y - arm, "broken", 2.2, title=title),
        ]
    if kind == "accepted":
        return [Dot(x, y, r, "accepted", "paper", 1.2, title)]
    if kind == "dropped":
        return [Dot(x, y, r, "slower", "paper", 1, title)]
    stroke = "accepted" if kind == "unproven" else "slower"
    return [Dot(x, y, r - 0.5, "paper", stroke, 2, title)]


def colour(kind: str) -> str:
    """The colour of a mark's interval."""
    known = {"reference": "ink", "kept": "winner", "dropped": "slower", "unjudged": "slower"}
    return known.get(kind, "accepted" if kind == "unproven" else kind)


def label_colour(kind: str) -> str:
    """The colour of a mark's name: ink, but for the two that matter most."""
    return {"winner": "winner", "kept": "winner", "broken": "broken"}.get(kind, "ink")


def whisker(kind: str, x: tuple[float, float], y: tuple[float, float]) -> list[Item]:
    """An interval, horizontal or vertical, with a small bar across each end."""
    (x1, x2), (y1, y2) = x, y
    if abs(x2 - x1) + abs(y2 - y1) < 2:
        return []
    across = (3, 0) if x1 == x2 else (0, 3)
    stroke = colour(kind)
    ends = [
        Line(px - across[0], py - across[1], px + across[0], py + across[1], stroke, 1.2)
        for px, py in ((x1, y1), (x2, y2))
    ]
    return [Line(x1, y1, x2, y2, stroke, 1.2), *ends]


def legend(
    scene: Scene, kinds: Iterable[str], notes: Sequence[str], left: float, top: float, right: float
) -> float:
    """Draw one entry per kind, then the notes; returns the baseline of the last line."""
    counted = Counter(kinds)
    entries = [
        (name, text if counted[name] == 1 else f"{text} ({counted[name]})")
        for name, text in KINDS.items()
        if counted[name]
    ]
    x, y = left, top
    for name, text in [*entries, *(("", note) for note in notes)]:
        lead = 18 if name else 0
        width = lead + text_width(text, 12)
        if x > left and x + width > right:
            x, y = left, y + 20
        if name:
            scene.add(*mark(name, x + 7, y - 4.3, small=True))
        scene.add(Text(x + lead, y, text, "muted"))
        x += width + 18
    return y


def heading(scene: Scene, lines: Sequence[str]) -> float:
    """Draw the first line large, the others below it; returns where they end."""
    y = 6.0
    for index, text in enumerate(lines):
        size = 12.5 if index else 17.0
        y += 1.5 * size
        shown = shorten(text, size, scene.width - 8)
        scene.add(Text(4, y, shown, "muted" if index else "ink", size, bold=not index))
    return y + (8 if lines else 0)


def speed_axis(
    scene: Scene, quantity: Quantity, axis: Axis, edges: tuple[float, float], bottom: float
) -> None:
    """Draw the axis of the objective below the plot, with the direction that is better."""
    scale, unit = quantity.unit(axis.high)
    scene.add(Line(edges[0], bottom, edges[1], bottom, "faint"))
    scaled = Axis(axis.low / scale, axis.high / scale, axis.start, axis.stop, axis.log)
    for value in scaled.ticks(int((axis.stop - axis.start) / 60)):
        x = scaled(value)
        scene.add(
            Line(x, bottom, x, bottom + 4, "faint"),
            Text(x, bottom + 17, f"{value:,.10g}", "muted", anchor="middle"),
        )
    title = f"{quantity.title} ({unit})" if unit else quantity.title
    title += ", logarithmic" if axis.log else ""
    better = Text(edges[0], bottom + 36, "← better", "muted")
    if quantity.more_is_better:
        better = Text(edges[1], bottom + 36, "better →", "muted", anchor="end")
    wide = text_width("← better", 12) + 12
    scene.add(better, Text((sum(edges) + wide) / 2, bottom + 36, title, "ink", 12, "middle", True))
