"""Whether two models give the same answers, so that no accuracy test is needed."""

from __future__ import annotations

import numpy as np

from hasten.types import Arrays, Score

EQUIVALENT = 1e-4
"""Outputs whose difference is below this share of their range, with equal decisions, are equal."""
_BLOCK = 1 << 22
"""Values compared at a time: whole outputs may be larger than memory."""


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
            difference = max(difference, _difference(wanted, got))
        changed += _decisions_changed(wanted, got)
    return difference, changed


def _blocks(wanted: np.ndarray, got: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both arrays in pieces along the first axis (views, nothing is copied)."""
    if wanted.ndim == 0:
        return [(wanted, got)]
    step = max(1, _BLOCK // max(1, wanted[:1].size))
    starts = range(0, len(wanted), step)
    return [(wanted[start : start + step], got[start : start + step]) for start in starts]


def _difference(wanted: np.ndarray, got: np.ndarray) -> float:
    low, high, largest, worst = np.inf, -np.inf, 0.0, 0.0
    for mine, theirs in _blocks(wanted, got):
        one, other = mine.astype(np.float64), theirs.astype(np.float64)
        finite = np.isfinite(one)
        alike = np.array_equal(one[~finite], other[~finite], equal_nan=True)
        if not alike or not np.isfinite(other[finite]).all():
            return float("inf")
        if not finite.any():
            continue
        values = one[finite]
        low, high = min(low, values.min()), max(high, values.max())
        largest = max(largest, np.abs(values).max())
        worst = max(worst, np.abs(other[finite] - values).max())
    scale = high - low if high > low else (largest or 1.0)
    return float(worst / scale)


def _decisions_changed(wanted: np.ndarray, got: np.ndarray) -> int:
    if wanted.dtype.kind == "f" and (wanted.ndim != 2 or wanted.shape[1] < 2):
        return 0
    if wanted.dtype.kind == "f":
        pairs = _blocks(wanted, got)
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
