"""What each step gained: the road from the reference to the winner, link by link.

The winner's plan is a set of parts: its engine, its precision, each technique, each setting.
Trials that hold some of these parts and no others are the milestones; the links between them are
measured, never estimated. Parts for which no milestone exists are told together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hasten.report.record import Record, precision, settings, techniques
from hasten.types import Trial

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Link:
    """One measured step: what was added, and the figure before and after."""

    added: Parts
    trial: Trial
    before: float
    after: float


def parts(trial: Trial) -> Parts:
    """What the trial's plan consists of, converters aside, in the order it is told."""
    kind = precision(trial)
    named = [str(use) for use in techniques(trial)]
    chosen = [f"{key}={value}" for key, value in settings(trial)]
    asked = [] if kind == "f32" else [f"{kind} arithmetic"]
    return (f"engine {trial.plan.engine.name}", *asked, *named, *chosen)


def links(record: Record) -> list[Link]:
    """The measured links in order; empty where the original was kept or figures are missing."""
    start, winner, of = record.reference, record.winner, record.quantity.of
    if start is None or winner is None or start is winner or not of(start) or not of(winner):
        return []
    order = parts(winner)
    stones = {frozenset(parts(t)): t for t in reversed(record.measured) if t is not start}
    stones[frozenset(order)] = winner
    inside = [stone for stone in stones if stone <= frozenset(order)]
    found: list[Link] = []
    known: frozenset[str] = frozenset()
    before = of(start)
    for stone in longest(inside, order):
        after = of(stones[stone])
        if before and after:
            added = tuple(part for part in order if part in stone - known)
            found.append(Link(added, stones[stone], before, after))
        known, before = stone, after
    return found


def longest(stones: list[frozenset[str]], order: Parts) -> list[frozenset[str]]:
    """The longest chain in which each set contains the one before, ending at the largest.

    Of equally long chains, the one that adds parts in ``order``.
    """
    rank = {part: index for index, part in enumerate(order)}
    ascending = sorted(stones, key=len)

    @cache
    def after(stone: frozenset[str]) -> tuple[frozenset[str], ...]:
        tails = [(larger, *after(larger)) for larger in ascending if stone < larger]
        return min(tails, key=lambda tail: (-len(tail), places(stone, tail)), default=())

    def places(stone: frozenset[str], tail: tuple[frozenset[str], ...]) -> list[list[int]]:
        earlier = (stone, *tail)
        pairs = zip(earlier, tail, strict=False)
        return [sorted(rank[part] for part in new - old) for old, new in pairs]

    return list(after(frozenset()))
