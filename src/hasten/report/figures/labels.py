"""Places labels beside their points so that nothing covers anything.

A greedy search in the order given: each label takes the cheapest free place around its point, a
near one without a leader line first. One that fits nowhere tries its short text, then gives up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hasten.report.figures.scene import text_width

BLOCKED = 1e6
TOO_FAR = 170.0
"""What a place may cost before a shorter text is tried."""


@dataclass(frozen=True)
class Area:
    """A rectangle by its edges."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Area) -> float:
        """The common area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0

    def within(self, other: Area) -> bool:
        sides = self.left >= other.left and self.right <= other.right
        return sides and self.top >= other.top and self.bottom <= other.bottom


@dataclass(frozen=True)
class Request:
    """A label for the point (``x``, ``y``): the texts to try, longest first.

    ``reach`` is how far the point's mark or interval extends to the left and to the right.
    """

    x: float
    y: float
    texts: tuple[str, ...]
    radius: float = 6.0
    reach: tuple[float, float] = (6.0, 6.0)
    size: float = 12.0
    bold: bool = False


@dataclass(frozen=True)
class Placed:
    """Where a label's text goes, with the end of its leader line if it needs one."""

    text: str
    x: float
    y: float
    area: Area
    leader: tuple[float, float] | None


def place(
    requests: Sequence[Request], *, solid: Iterable[Area], soft: Iterable[Area], bounds: Area
) -> list[Placed | None]:
    """One place per request; ``None`` where there was no room.

    Labels never touch ``solid`` areas or each other; they avoid ``soft`` ones where they can.
    """
    taken, thin = list(solid), list(soft)
    placed: list[Placed | None] = []
    for request in requests:
        found = _best(request, taken, thin, bounds)
        placed.append(found)
        if found:
            taken.append(found.area)
            taken += [Area(x - 1, y - 1, x + 1, y + 1) for x, y in _along(request, found)]
    return placed


def free_spot(spots: Sequence[Area], solid: Iterable[Area]) -> Area:
    """The first of the spots that covers the least of ``solid``."""
    things = list(solid)
    return min(spots, key=lambda spot: sum(spot.overlap(thing) for thing in things))


def _best(request: Request, taken: list[Area], thin: list[Area], bounds: Area) -> Placed | None:
    for text in request.texts:
        costs = [
            (_cost(option, distance, request, taken, thin, bounds), index, option)
            for index, (option, distance) in enumerate(_options(request, text))
        ]
        cost, _, option = min(costs)
        if cost < (BLOCKED if text == request.texts[-1] else TOO_FAR):
            return option
    return None


def _cost(
    option: Placed,
    distance: float,
    request: Request,
    taken: list[Area],
    thin: list[Area],
    bounds: Area,
) -> float:
    area = option.area
    if not area.within(bounds) or any(area.overlap(other) for other in taken):
        return BLOCKED
    crossed = sum(area.overlap(other) for other in thin)
    return distance + crossed * 0.8 + (100 * _crossings(option, request, taken))


def _along(request: Request, option: Placed) -> list[tuple[float, float]]:
    """Points on the leader line, outside the point's own mark."""
    if option.leader is None:
        return []
    dx, dy = option.leader[0] - request.x, option.leader[1] - request.y
    length = math.hypot(dx, dy)
    first = (request.radius + 1) / length if length else 1.0
    steps = [first + (0.98 - first) * t / 11 for t in range(12)] if first < 0.98 else []
    return [(request.x + dx * t, request.y + dy * t) for t in steps]


def _crossings(option: Placed, request: Request, taken: list[Area]) -> int:
    """How many labels, marks or other leader lines its own leader line would run through."""
    points = _along(request, option)
    return sum(
        any(a.left <= x <= a.right and a.top <= y <= a.bottom for x, y in points) for a in taken
    )


def _options(request: Request, text: str) -> list[tuple[Placed, float]]:
    """Every place to try, each with what its distance costs."""
    width = text_width(text, request.size, request.bold)
    height = request.size * 1.2
    options: list[tuple[Placed, float]] = []
    for reach, cost in ((3, 0), (12, 30), (24, 60), (40, 100), (60, 150), (84, 210)):
        for angle, penalty in zip(range(0, 360, 30), _PENALTIES, strict=True):
            across, down = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            own = request.radius if abs(across) < 0.9 else request.reach[across > 0]
            distance = own + reach
            x = request.x + across * distance + (across - 1) / 2 * width
            top = request.y + down * distance + (down - 1) / 2 * height
            area = Area(x - 1, top, x + width + 1, top + height)
            end = (
                min(max(request.x, area.left), area.right),
                area.bottom if down < 0 else area.top,
            )
            if abs(down) < 0.1:
                end = (area.left if across > 0 else area.right, request.y)
            leader = end if reach > 3 else None
            spot = Placed(text, x, top + height * 0.79, area, leader)
            options.append((spot, cost + penalty))
    return options


_PENALTIES = (0, 8, 14, 10, 14, 8, 2, 8, 12, 6, 12, 8)
"""By angle, clockwise from the right in steps of 30°: right and left read best, then above."""
