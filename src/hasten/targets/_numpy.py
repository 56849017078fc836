"""Peaks through NumPy: its BLAS for products, its element-wise loops for memory traffic."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from hasten.targets._jobs import Job, Jobs, Request


def products(request: Request) -> Iterator[Job]:
    for side in request.sides:
        a = np.random.default_rng(0).random((side, side), dtype=np.float32)
        call = partial(np.matmul, a, a, out=np.empty_like(a))
        yield Job(f"matrix product {side}", 2.0 * side**3, call)


def traffic(request: Request) -> Iterator[Job]:
    """Read and copy, every thread in its own part of the chunk; NumPy releases the GIL here."""
    source, target, chunk = request.streams()
    pool = ThreadPoolExecutor(request.threads)
    part = chunk // request.threads
    starts = itertools.cycle(range(0, source.size - chunk + 1, chunk))

    def places() -> list[slice]:
        start = next(starts)
        return [slice(start + i * part, start + (i + 1) * part) for i in range(request.threads)]

    def read() -> None:
        list(pool.map(lambda place: source[place].max(), places()))

    def copy() -> None:
        list(pool.map(lambda place: np.copyto(target[place], source[place]), places()))

    yield Job("read", 4.0 * part * request.threads, read)
    yield Job("copy", 8.0 * part * request.threads, copy)


QUANTITIES: dict[str, Jobs] = {"f32": products, "bandwidth": traffic}
