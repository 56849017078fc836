"""Near copies of pictures: resized, recompressed, or a little brighter.

**Source:** the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions" (2010), section 3.2.1: 64 low frequencies, each above or below their median. Differs: the
cosines run over the whole picture instead of one reduced to 32 x 32, which changes low frequencies
little; and a picture that does not change in both directions has no hash, so it is near to none.

Of 64 bits in 5 bands, 4 wrong ones leave one band whole: only hashes with a band in common are
compared, so that time grows with those and not with all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hasten.data._storage import CALCULATED_BYTES, blocks
from hasten.errors import BadData
from hasten.types import Data

DISTANCE = 4
"""The most bits in which near copies differ."""
BANDS = (13, 13, 13, 13, 12)
"""One more than ``DISTANCE``."""
LEAST_SIDE = 16
"""Smaller pictures have no 8 low frequencies in a direction."""
LUMA = (0.299, 0.587, 0.114)
NO_HASH = np.uint64(0)
LEAST_SWING = 0.05
"""How finely frequencies are told apart, in levels of 255: below lie rounding errors."""
PAIRS_AT_ONCE = 2**20


def pictures_of(data: Data) -> np.ndarray:
    """The one array of pictures that data hold, ``(n, channels, height, width)``."""
    arrays = list(data.inputs.values())
    if len(arrays) == 1 and arrays[0].ndim == 4:
        for axis in (1, 3):
            array = np.moveaxis(arrays[0], axis, 1)
            if array.shape[1] in (1, 3) and min(array.shape[2:]) >= LEAST_SIDE:
                return array
    told = ", ".join(str(list(array.shape[1:])) for array in arrays)
    raise BadData(
        f"Cannot look for near copies in '{data.name}': samples of shape {told} are no pictures of "
        f"1 or 3 channels and {LEAST_SIDE} pixels or more. Leave --near-copies away."
    )


def hashes(pictures: np.ndarray) -> np.ndarray:
    """A 64-bit hash of every picture ``(n, 1 or 3, height, width)``, read in blocks.

    ``0`` stands for a picture that has none.
    """
    rows, columns = (_cosines(side) for side in pictures.shape[2:])
    luma = np.array(LUMA if pictures.shape[1] == 3 else (1.0,), np.float32)
    level = 1.0 if pictures.dtype == np.uint8 else _spread(pictures) / 255
    found = np.empty(len(pictures), np.uint64)
    for part in blocks(pictures, CALCULATED_BYTES):
        grey = np.einsum("nchw,c->nhw", pictures[part].astype(np.float32), luma)
        low = (rows @ (grey @ columns.T)).reshape(len(grey), 64)
        low = np.round(low / (LEAST_SWING * level))
        above = low > np.median(low, axis=1, keepdims=True)
        found[part] = np.packbits(above, axis=1).view(np.uint64)[:, 0]  # none of equal ones
    return found


def _cosines(side: int) -> np.ndarray:
    """The 8 lowest frequencies above 0 along one axis, float32 ``(8, side)``."""
    place = (2 * np.arange(side) + 1) / (2 * side)
    waves = np.cos(np.pi * np.arange(1, 9)[:, None] * place[None]) / side
    return waves.astype(np.float32)


def _spread(pictures: np.ndarray) -> float:
    """The distance from the lowest to the highest value, so that floats of any scale will do."""
    parts = [pictures[part] for part in blocks(pictures)]
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    return max(float(high) - float(low), 1e-12)


def nearest(asked: np.ndarray, held: np.ndarray) -> np.ndarray:
    """For every hash of ``asked`` the place of a near one in ``held``, or -1: ``(n,)``."""
    unique, back = np.unique(asked, return_inverse=True)
    kept, first = np.unique(held, return_index=True)
    kept, first = kept[kept != NO_HASH], first[kept != NO_HASH]
    least = np.full(len(unique), DISTANCE + 1)
    place = np.full(len(unique), -1)
    for one, other in _candidates(unique, kept):
        distance = _bit_count(unique[one] ^ kept[other])
        # Of several candidates the last written stays: the farthest come first.
        better = np.flatnonzero((distance < least[one]) & (distance <= DISTANCE))
        better = better[np.argsort(-distance[better], kind="stable")]
        least[one[better]], place[one[better]] = distance[better], first[other[better]]
    place[unique == NO_HASH] = -1
    return place[back]


def _candidates(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of all pairs that agree in a band, some at a time."""
    shift = 0
    for bits in BANDS:
        mask = np.uint64(2**bits - 1)
        keys, others = (one >> np.uint64(shift)) & mask, (other >> np.uint64(shift)) & mask
        shift += bits
        order = np.argsort(others, kind="stable")
        starts = np.searchsorted(others[order], keys, "left")
        counts = np.searchsorted(others[order], keys, "right") - starts
        ends = np.cumsum(counts)
        begin = 0
        while begin < len(keys):
            before = ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, before + PAIRS_AT_ONCE, "right")))
            some = counts[begin:end]
            within = np.arange(some.sum()) - np.repeat(np.cumsum(some) - some, some)
            yield (
                np.repeat(np.arange(begin, end), some),
                order[np.repeat(starts[begin:end], some) + within],
            )
            begin = end


def _bit_count(values: np.ndarray) -> np.ndarray:
    """How many bits of each are set."""
    if hasattr(np, "bitwise_count"):  # NumPy 2
        counts: np.ndarray = np.bitwise_count(values).astype(np.int64)
    else:
        bits = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1)
        counts = bits.sum(axis=1, dtype=np.int64)
    return counts
