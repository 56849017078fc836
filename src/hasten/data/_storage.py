"""Arrays that may be larger than memory: made, gathered and cast piece by piece."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from collections.abc import Iterator

import numpy as np

from hasten.errors import OutOfSpace
from hasten.search.store import cache_folder

BLOCK_BYTES = 32 * 2**20
"""How much is read, cast or hashed at once."""
LARGE_BYTES = 128 * 2**20
"""From this size on, a new array lives on disk."""
CALCULATED_BYTES = 2 * 2**20
"""How much is calculated with at once: as float64 and with what comes of it, many times as much."""


def blocks(array: np.ndarray, most: int = BLOCK_BYTES) -> Iterator[slice]:
    """Slices over axis 0 that hold about ``most`` bytes each."""
    row_bytes = max(1, array.nbytes // max(1, len(array)))
    rows = max(1, most // row_bytes)
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A writable array; a large one is a mapped, nameless file that ends with its last user."""
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE_BYTES:
        return np.empty(shape, dtype)
    folder = cache_folder() / "scratch"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(
                f"Cannot keep {size / 2**30:.1f} GiB of samples in {folder}: the disk is full. "
                "Free some space, or point HASTEN_CACHE to another disk."
            ) from error
        raise


def _reserve(descriptor: int, size: int) -> None:
    """Claim the space now: writing to a mapped file on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def gather(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``array[index]``; a run of neighbours is a view, anything else is copied in blocks."""
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return array[index[0] : index[0] + len(index)]
    out = empty((len(index), *array.shape[1:]), array.dtype)
    for part in blocks(out):
        out[part] = array[index[part]]
    return out


def cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``array`` as ``dtype``, converted in blocks."""
    out = empty(array.shape, dtype)
    for part in blocks(array):
        out[part] = array[part]
    return out
