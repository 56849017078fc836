"""How far two arrays of outputs are apart, in blocks: whole outputs may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 1 << 22
"""Values compared at a time."""


def blocks(wanted: np.ndarray, got: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both arrays in pieces along the first axis (views, nothing is copied)."""
    if wanted.ndim == 0:
        yield wanted, got
        return
    step = max(1, BLOCK // max(1, wanted[:1].size))
    for start in range(0, len(wanted), step):
        yield wanted[start : start + step], got[start : start + step]


def difference(wanted: np.ndarray, got: np.ndarray) -> float:
    """The largest difference as a share of the range of ``wanted``'s finite values.

    Infinite where the shapes differ, or one has NaN or infinity that the other has not. Where all
    values are equal the share is of their size, and absolute where they are all 0.
    """
    if wanted.shape != got.shape:
        return float("inf")
    low, high, largest, worst = np.inf, -np.inf, 0.0, 0.0
    for mine, theirs in blocks(wanted, got):
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
