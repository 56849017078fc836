"""What can be timed to find a peak, and the shapes that every library is given.

**Source:** S. Williams et al., *Roofline: an insightful visual performance model* (CACM 2009);
J. McCalpin's STREAM for memory traffic (the bytes that a program names; write-allocate traffic is
not counted). Different here: peaks come from the kernels of the runtimes themselves over several
shapes, not from hand-written code. Convolutions have no padding: kernels skip padded taps, so
that counting them would show a peak that the arithmetic units do not reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Job:
    """One thing to time: ``amount`` operations or bytes per call."""

    what: str
    amount: float
    call: Callable[[], object]
    ran: Callable[[], str] | None = None
    """The arithmetic that the library says it ran in (``None``: it cannot tell)."""


@dataclass(frozen=True)
class Convolution:
    """Chained square convolutions without padding: every layer shrinks the image."""

    channels: int
    kernel: int
    image: int
    layers: int

    def operations(self, batch: int) -> float:
        """Operations of one pass, two per multiply-add."""
        sides = (self.image - (self.kernel - 1) * layer for layer in range(1, self.layers + 1))
        per_pixel = 2.0 * batch * self.channels**2 * self.kernel**2
        return sum(per_pixel * side**2 for side in sides)

    def name(self, batch: int) -> str:
        return (
            f"{self.layers} x convolution {self.kernel}x{self.kernel}, {self.channels} channels, "
            f"{batch}x{self.image}x{self.image}"
        )


PRODUCTS = (512, 1024)
"""Sides of square matrix products: the fastest size differs between libraries and caches."""
LARGE_PRODUCTS = (2048, 4096)
MANY_CORES = 8
"""Above this number of threads the large products are tried as well."""
CONVOLUTIONS = (Convolution(128, 3, 36, 4), Convolution(256, 5, 32, 1))
"""The batch is the number of threads."""
LEAST_TRAFFIC_BYTES = 256 << 20
LEAST_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True)
class Request:
    """What a measuring process is asked for."""

    threads: int
    seconds: float
    cache_bytes: int

    @property
    def sides(self) -> tuple[int, ...]:
        return (*PRODUCTS, *LARGE_PRODUCTS) if self.threads > MANY_CORES else PRODUCTS

    def streams(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Two float32 arrays and the number of elements in one timed chunk of them.

        Short timed chunks of a long walk: one undisturbed chunk is enough to see the full rate,
        and each was last touched a whole array ago, so that no cache holds it. All threads fill
        them, so that on a machine with several memory nodes the pages lie on all of these.
        """
        size = max(LEAST_TRAFFIC_BYTES, 4 * self.cache_bytes) // 4
        chunk = max(LEAST_CHUNK_BYTES, self.cache_bytes // 2) // 4
        arrays = np.empty(size, np.float32), np.empty(size, np.float32)
        with ThreadPoolExecutor(self.threads) as pool:
            for array in arrays:
                list(pool.map(lambda part: part.fill(1), np.array_split(array, 4 * self.threads)))
        return *arrays, chunk


Jobs = Callable[[Request], Iterator[Job]]
