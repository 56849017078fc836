"""Peaks through PyTorch on the CPU: oneDNN and MKL behind ``mm``, ``_int_mm`` and ``conv2d``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hasten.targets._jobs import CONVOLUTIONS, Convolution, Job, Jobs, Request


def products(dtype: str, request: Request) -> Iterator[Job]:
    import torch

    torch.set_num_threads(request.threads)
    torch.set_grad_enabled(False)
    kind = {"f32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}[dtype]
    for side in request.sides:
        yield Job(f"matrix product {side}", 2.0 * side**3, product(side, kind, "cpu"))
    if dtype != "int8":  # torch has no int8 convolution outside its quantised modules
        for convolution in CONVOLUTIONS:
            yield _convolution(convolution, request.threads, kind)


def product(side: int, kind: Any, device: str) -> Callable[[], object]:
    """One product of two square matrices of random values on ``device``."""
    import torch

    if kind == torch.int8:
        a, b = (torch.randint(-128, 128, (side, side), dtype=kind, device=device) for _ in "ab")
        return partial(torch._int_mm, a, b.t())
    x, y = (torch.rand(side, side, device=device).to(kind) for _ in "xy")
    return partial(torch.mm, x, y, out=torch.empty_like(x))


def _convolution(form: Convolution, batch: int, kind: Any) -> Job:
    import torch

    layout = torch.channels_last
    x = torch.rand(batch, form.channels, form.image, form.image).to(kind, memory_format=layout)
    w = torch.rand(form.channels, form.channels, form.kernel, form.kernel)
    w = w.to(kind, memory_format=layout)

    def call() -> None:
        y = x
        for _ in range(form.layers):
            y = torch.nn.functional.conv2d(y, w)

    return Job(form.name(batch), form.operations(batch), call)


def traffic(request: Request) -> Iterator[Job]:
    import torch

    torch.set_num_threads(request.threads)
    *arrays, chunk = request.streams()
    source, target = map(torch.from_numpy, arrays)
    starts = itertools.cycle(range(0, source.numel() - chunk + 1, chunk))

    def place() -> slice:
        return slice(start := next(starts), start + chunk)

    def copy() -> None:
        here = place()
        target[here].copy_(source[here])

    def triad() -> None:
        here = place()
        torch.add(target[here], source[here], alpha=2.0, out=target[here])

    yield Job("read", 4.0 * chunk, lambda: source[place()].sum())
    yield Job("copy", 8.0 * chunk, copy)
    yield Job("triad", 12.0 * chunk, triad)


QUANTITIES: dict[str, Jobs] = {
    "bandwidth": traffic,
    **{dtype: partial(products, dtype) for dtype in ("f32", "bf16", "int8")},
}
