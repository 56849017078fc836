"""Whether two models give the same answers, so that no accuracy test is needed."""

from __future__ import annotations

import numpy as np

from hasten import agreement
from hasten.types import Arrays, Score

EQUIVALENT = 1e-4
"""Outputs whose difference is below this share of their range, with equal decisions, are equal."""


def equivalent(reference: Arrays, candidate: Arrays) -> tuple[float, int]:
    """``(largest difference as a share of the output's range, decisions changed)``.

    The range is that of the reference's finite values, per output. A decision is the highest
    score of a row of an output ``(n, classes)``, or any entry of an output that holds no floats.
    The difference is infinite where outputs are missing, differ in shape, or one of them has NaN
    or infinity that the other has not.
    """
    difference, changed = 0.0, 0
    for name, wanted in reference.items():
        got = candidate.get(name)
        if got is None or got.shape != wanted.shape:
            return float("inf"), max(changed, len(wanted) if wanted.ndim else 1)
        if wanted.dtype.kind == "f":
            difference = max(difference, agreement.difference(wanted, got))
        changed += _decisions_changed(wanted, got)
    return difference, changed


def _decisions_changed(wanted: np.ndarray, got: np.ndarray) -> int:
    if wanted.dtype.kind == "f" and (wanted.ndim != 2 or wanted.shape[1] < 2):
        return 0
    if wanted.dtype.kind == "f":
        pairs = agreement.blocks(wanted, got)
        return sum(int((a.argmax(axis=1) != b.argmax(axis=1)).sum()) for a, b in pairs)
    differs = np.atleast_1d(wanted != got)
    return int(differs.reshape(len(differs), -1).any(axis=1).sum())


def equivalent_score(split: str, n: int, difference: float) -> Score:
    """The score of a candidate that needs no accuracy test."""
    return Score(
        metric="difference",
        split=split,
        n=n,
        reference=None,
        value=difference,
        drop=None,
        bound=difference,
        limit=EQUIVALENT,
        verdict="equivalent",
    )
