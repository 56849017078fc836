"""How long measuring will take: what building must leave, and who can race in what is left."""

from __future__ import annotations

from collections.abc import Sequence

SLOW_CALL_SECONDS = 0.25
"""A call this long needs no second warm-up, and says enough alone."""
WARM_UP_CALLS, LEAST_CALLS = 2, 3
TURN_SECONDS = 0.05
RACE_ROUNDS, FINAL_ROUNDS = 4, 12
"""The least that settle something: the short heats that leave a few, and the final's first look."""
RACERS = 3


def turn_seconds(call_seconds: float) -> float:
    """What one turn takes, warm-up included."""
    if call_seconds > SLOW_CALL_SECONDS:
        return 2 * call_seconds
    return WARM_UP_CALLS * call_seconds + max(TURN_SECONDS, LEAST_CALLS * call_seconds)


def round_seconds(call_seconds: Sequence[float]) -> float:
    """What one round of contenders with these calls takes."""
    return sum(map(turn_seconds, call_seconds))


def measuring_seconds(reference: float, best: float) -> float:
    """What race and final need at least, from seconds per call of the reference and of the best.

    The final times a fp32 baseline beside the winner.
    """
    race = RACE_ROUNDS * round_seconds([reference, *[best] * RACERS])
    return race + FINAL_ROUNDS * round_seconds([reference, best, best])


def fitting(reference: float, calls: Sequence[float], seconds: float) -> int:
    """How many of the contenders, in this order, can race in the time; at least one."""
    for count in range(len(calls), 1, -1):
        if RACE_ROUNDS * round_seconds([reference, *calls[:count]]) <= seconds:
            return count
    return min(1, len(calls))
