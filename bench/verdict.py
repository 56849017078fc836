"""Who won: the limit, the choice of the best peer, and what a ratio says. Pure; no I/O."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.rows import ACCURACY_DROP, SQNR_FLOOR_DECIBEL
from hasten import stats
from hasten.types import Ratio

LEVEL_LOW = 0.97
LEVEL_HALF_WIDTH = 0.03
VERDICTS = ("win", "level", "loss", "undecided")

Rounds = Sequence[Mapping[str, float]]
"""For each round, the median seconds per call of each contender that ran in it."""


def within_limit(quality: Mapping[str, float]) -> bool:
    """Whether a contender keeps the race's limit: accuracy where it was measured, else SQNR."""
    if "drop" in quality:
        return quality["drop"] <= ACCURACY_DROP
    return quality["sqnr"] >= SQNR_FLOOR_DECIBEL


def quality_text(quality: Mapping[str, float]) -> str:
    """The figure that the limit is about."""
    if "drop" in quality:
        return f"accuracy {quality['accuracy']:.4f}, drop {quality['drop']:+.4f}"
    return f"{quality['sqnr']:.1f} dB"


def medians(rounds: Rounds) -> dict[str, float]:
    """Each contender's median over the rounds, the fastest first."""
    names = {name for round_ in rounds for name in round_}
    found = {name: statistics.median(r[name] for r in rounds if name in r) for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def best(rounds: Rounds, ours: str) -> str | None:
    """The fastest contender other than ours; ``None`` if there is no other."""
    return next((name for name in medians(rounds) if name != ours), None)


def paired(rounds: Rounds, reference: str, candidate: str) -> Ratio | None:
    """How many times faster the candidate is, from the rounds in which both ran."""
    both = [round_ for round_ in rounds if reference in round_ and candidate in round_]
    if not both:
        return None
    return stats.ratio([r[reference] for r in both], [r[candidate] for r in both])


def precise(ratio: Ratio | None) -> bool:
    """Whether the interval is narrow enough to stop; its place must not matter for that."""
    return ratio is not None and (ratio.high - ratio.low) / 2 <= LEVEL_HALF_WIDTH * ratio.value


def verdict(ratio: Ratio | None) -> str:
    """``win``, ``level``, ``loss`` or ``undecided``."""
    if ratio is None:
        return "loss"
    if ratio.low > 1:
        return "win"
    if ratio.low >= LEVEL_LOW and (ratio.high - ratio.low) / 2 <= LEVEL_HALF_WIDTH:
        return "level"
    return "loss" if ratio.high < 1 else "undecided"


def disturbed(timed: Mapping[str, Any]) -> bool:
    """Whether other load spoilt more than half of the rounds that count."""
    return bool(2 * timed["disturbed"] > timed["rounds"])


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean; NaN of nothing."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of the verdicts, and the geometric mean of the ratios, over rows."""
    counts = dict.fromkeys(VERDICTS, 0)
    for result in results:
        counts[result["verdict"]] += 1
    ratios = [r["comparison"]["ratio"]["value"] for r in results if r["comparison"].get("ratio")]
    return {**counts, "rows": len(results), "geometric_mean": geometric_mean(ratios)}
