"""Operators that reduce along axes, products of matrices, and running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hasten.graphs.module import number
from hasten.graphs.onnx import Call, operator
from hasten.graphs.onnx.elementwise import computable
from hasten.graphs.onnx.host import axes_of

Step = Callable[[Tensor, list[int], bool], Tensor]


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, keep)
    total = x.sum(axes, keep)
    return torch.div(total, x.numel() // total.numel(), rounding_mode="trunc")


REDUCTIONS: dict[str, Step] = {
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: _root(x.square().sum(axes, keep)),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keep).log(),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keep),
    "ReduceMean": _mean,
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keep),
    "ReduceProd": _product,
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
}


_ALONE: dict[str, Callable[[Tensor], Tensor]] = {
    "ReduceL1": torch.abs,
    "ReduceL2": torch.abs,
    "ReduceLogSum": torch.log,
    "ReduceSumSquare": torch.square,
}
"""What is done to every value where nothing is reduced."""


def _root(x: Tensor) -> Tensor:
    return x.sqrt() if x.is_floating_point() else x.to(torch.float64).sqrt()


@operator(*REDUCTIONS, host=(1,))
def reduce(call: Call, x: Tensor, axes: Any = None) -> Tensor:
    wanted, keep = axes_of(call, axes), bool(call.get("keepdims", 1))
    if not wanted:
        if call.get("noop_with_empty_axes", 0):
            return _ALONE.get(call.kind, lambda value: value)(x)
        wanted = list(range(x.ndim))
    return REDUCTIONS[call.kind](computable(x), wanted, keep).to(x.dtype)


@operator("MatMul", weights=(1,))
def mat_mul(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@operator("Gemm", weights=(1, 2))
def gemm(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    a = a.T if call.get("transA", 0) else a
    fits = c is None or (c.ndim == 1 and c.shape[0] == b.shape[0 if call.get("transB", 0) else 1])
    if a.is_floating_point() and alpha == beta == 1 and fits:
        # As a linear layer every engine knows it.
        return torch.nn.functional.linear(a, b if call.get("transB", 0) else b.T, c)
    found = a @ (b.T if call.get("transB", 0) else b)
    found = found if alpha == 1 else (found * alpha).to(found.dtype)
    if c is None:
        return found
    return found + (c if beta == 1 else (c * beta).to(c.dtype))


@operator("Einsum")
def einsum(call: Call, *values: Tensor) -> Tensor:
    return torch.einsum(call.get("equation"), *values)


@operator("CumSum", host=(1,))
def cumulative_sum(call: Call, x: Tensor, axis: Any) -> Tensor:
    along = int(number(axis))
    turned = x.flip(along) if call.get("reverse", 0) else x
    found = turned.cumsum(along).to(x.dtype)
    if call.get("exclusive", 0):
        first = torch.zeros_like(found.narrow(along, 0, 1))
        found = torch.cat([first, found], along).narrow(along, 0, x.shape[along])
    return found.flip(along) if call.get("reverse", 0) else found


@operator("Det")
def determinant(call: Call, x: Tensor) -> Tensor:
    return torch.linalg.det(x)
