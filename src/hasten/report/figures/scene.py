"""A picture as data: shapes, text and scales. ``svg`` and ``png`` draw the same scene."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """A straight line; ``dash`` alternates drawn and free lengths."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str = "rule"
    width: float = 1.0
    dash: tuple[float, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Dot:
    """A circle; ``fill`` may be ``paper`` for an open one."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = ""
    width: float = 1.5
    title: str = ""


@dataclass(frozen=True)
class Shape:
    """A filled polygon."""

    points: Points
    fill: str
    stroke: str = ""
    width: float = 1.5
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A line of text on its baseline; ``anchor`` is ``start``, ``middle`` or ``end``.

    A ``halo`` keeps it readable over lines.
    """

    x: float
    y: float
    text: str
    colour: str = "ink"
    size: float = 12.0
    anchor: str = "start"
    bold: bool = False
    halo: bool = False


Item = Line | Box | Dot | Shape | Text


@dataclass
class Scene:
    """Items in drawing order on a canvas, with a title and a description for screen readers."""

    width: float
    height: float
    title: str
    description: str = ""
    items: list[Item] = field(default_factory=list)

    def add(self, *items: Item) -> None:
        self.items.extend(items)


# Advance widths of Helvetica, in thousandths of the size, for groups of characters.
_WIDTHS = {
    "ijl'|": 222,
    "ftI.,:;/ !()[]": 290,
    "r-−": 340,
    "Jckvsxyz": 500,
    "FTZLeaopqbdghnu0123456789#_?+=×": 570,
    "ABEKPSVXY&": 670,
    "CDHNRUwG": 735,
    "OQ": 780,
    "mM%": 850,
    "W@": 960,
}
_ADVANCE = {char: width for chars, width in _WIDTHS.items() for char in chars}


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About how wide ``text`` will be, on the generous side: the reader's font is not known."""
    units = sum(_ADVANCE.get(char, 600 if ord(char) < 0x2E80 else 1000) for char in text)
    return units / 1000 * size * (1.1 if bold else 1.04)


def shorten(text: str, size: float, room: float) -> str:
    """``text``, cut with an ellipsis in the middle where it is wider than ``room``."""
    if text_width(text, size) <= room:
        return text
    for keep in range(len(text) - 1, 3, -1):
        head = (2 * keep) // 3
        cut = f"{text[:head]}…{text[head - keep :]}"
        if text_width(cut, size) <= room:
            return cut
    return "…"


@dataclass(frozen=True)
class Axis:
    """Maps ``low``..``high`` to the positions ``start``..``stop``, linearly or by logarithm."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = (math.log(v) for v in (low, high, value))
        return self.start + (self.stop - self.start) * (at - low) / (high - low)

    def ticks(self, about: int = 6) -> list[float]:
        """Round values inside the axis, near ``about`` many."""
        return self._log_ticks(about) if self.log else self._linear_ticks(about)

    def _linear_ticks(self, about: int) -> list[float]:
        raw = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]

    def _log_ticks(self, about: int) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            values = [step * 10.0**power for power in powers for step in steps]
            inside = [v for v in values if self.low <= v * 1.0001 and v <= self.high * 1.0001]
            if len(inside) <= about:
                break
        return inside[:: math.ceil(len(inside) / about)] if inside else []


def spanning(values: Iterable[float], start: float, stop: float, wide: float = 4.0) -> Axis:
    """An axis that holds all ``values`` with some air; logarithmic from ``wide`` to 1 on."""
    known = list(values)
    low, high = min(known), max(known)
    if low > 0 and high / low >= wide:
        air = (high / low) ** 0.07
        return Axis(low / air, high * air, start, stop, log=True)
    air = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    return Axis(low - air, high + air, start, stop)
