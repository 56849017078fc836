"""Operators that look values up, or put them in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hasten.graphs.module import number, tensor
from hasten.graphs.onnx import Call, operator
from hasten.graphs.onnx.elementwise import computable


def _wrapped(rows: Tensor, size: Any) -> Tensor:
    """Row numbers counted from the front."""
    rows = rows.to(torch.int64)
    return torch.where(rows < 0, rows + size, rows)


@operator("Gather", raw=True)
def gather(call: Call, x: Any, rows: Any) -> Tensor:
    axis = call.get("axis", 0)
    like = next((one for one in (x, rows) if isinstance(one, Tensor)), None)
    x = tensor(x, like)
    if isinstance(rows, np.ndarray) and rows.ndim == 0 and rows.dtype != object:
        return x.select(axis, int(rows))
    rows = _wrapped(tensor(rows, like), x.shape[axis])
    axis %= x.ndim
    if x.ndim == 2 and axis == 0:
        return torch.nn.functional.embedding(rows, x)
    found = x.index_select(axis, rows.reshape(-1))
    return found.reshape([*x.shape[:axis], *rows.shape, *x.shape[axis + 1 :]])


@operator("GatherElements")
def gather_elements(call: Call, x: Tensor, rows: Tensor) -> Tensor:
    axis = call.get("axis", 0)
    return x.gather(axis, _wrapped(rows, x.shape[axis]))


@operator("GatherND")
def gather_nd(call: Call, x: Tensor, rows: Tensor) -> Tensor:
    shared = call.get("batch_dims", 0)
    depth = rows.shape[-1]
    outer = list(x.shape[:shared])
    for n, size in enumerate(outer):
        place = [1] * (rows.ndim - 1)
        place[n] = size
        outer[n] = torch.arange(size, device=x.device).reshape(place)
    parts = [_wrapped(rows[..., n], x.shape[shared + n]) for n in range(depth)]
    return x[(*outer, *parts)]


@operator("ScatterElements", "Scatter")
def scatter_elements(call: Call, x: Tensor, rows: Tensor, updates: Tensor) -> Tensor:
    axis, kind = call.get("axis", 0), call.get("reduction", "none")
    rows = _wrapped(rows, x.shape[axis])
    if kind == "none":
        return x.scatter(axis, rows, updates)
    return x.scatter_reduce(axis, rows, updates, REDUCTIONS[kind])


REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@operator("ScatterND")
def scatter_nd(call: Call, x: Tensor, rows: Tensor, updates: Tensor) -> Tensor:
    kind, depth = call.get("reduction", "none"), rows.shape[-1]
    places = [_wrapped(rows[..., n], x.shape[n]) for n in range(depth)]
    if kind in ("none", "add"):
        return x.index_put(tuple(places), updates, accumulate=kind == "add")
    # One number per row of the first dimensions; what hangs below it moves as a whole.
    flat, count = torch.zeros_like(places[0]), 1
    for place, size in zip(places[::-1], x.shape[:depth][::-1], strict=True):
        flat, count = flat + place * count, count * size
    below = list(x.shape[depth:])
    table = x.reshape([count, -1])
    wide = updates.reshape([flat.numel(), -1])
    index = flat.reshape(-1, 1).expand(wide.shape)
    return table.scatter_reduce(0, index, wide, REDUCTIONS[kind]).reshape(
        [*x.shape[:depth], *below]
    )


@operator("OneHot", host=(1,))
def one_hot(call: Call, rows: Tensor, depth: Any, values: Tensor) -> Tensor:
    count = int(number(depth))
    axis = call.get("axis", -1) % (rows.ndim + 1)
    rows = _wrapped(rows, count).unsqueeze(axis)
    shape = [1] * (rows.ndim)
    shape[axis] = count
    hit = rows == torch.arange(count, device=rows.device).reshape(shape)
    return torch.where(hit, values[1], values[0])


@operator("TopK", host=(1,))
def top_k(call: Call, x: Tensor, k: Any = None) -> tuple[Tensor, Tensor]:
    axis = call.get("axis", -1)
    count = int(call.get("k") if k is None else number(k))
    largest = bool(call.get("largest", 1))
    # Of equal values ONNX wants the first: a stable sort gives it, topk does not.
    order = torch.sort(computable(x), dim=axis, descending=largest, stable=True)
    values, rows = order.values.narrow(axis, 0, count), order.indices.narrow(axis, 0, count)
    return values.to(x.dtype), rows


@operator("ArgMax", "ArgMin")
def arg(call: Call, x: Tensor) -> Tensor:
    axis, keep = call.get("axis", 0), bool(call.get("keepdims", 1))
    x = computable(x)
    seek = torch.argmax if call.kind == "ArgMax" else torch.argmin
    if not call.get("select_last_index", 0):
        return _first(x, seek(x, axis, keepdim=True), axis, keep)
    turned = x.flip(axis)
    last = x.shape[axis] - 1 - _first(turned, seek(turned, axis, keepdim=True), axis, True)
    return last if keep else last.squeeze(axis)


def _first(x: Tensor, found: Tensor, axis: int, keep: bool) -> Tensor:
    """The first place of the value that was found: PyTorch promises none of equal ones."""
    best = x.gather(axis, found)
    along = [1] * x.ndim
    along[axis] = -1
    places = torch.arange(x.shape[axis], device=x.device).reshape(along)
    first = torch.where(x == best, places, x.shape[axis]).amin(axis, keepdim=True)
    return first if keep else first.squeeze(axis)


@operator("NonZero")
def non_zero(call: Call, x: Tensor) -> Tensor:
    return torch.nonzero(x).T


@operator("Compress")
def compress(call: Call, x: Tensor, condition: Tensor) -> Tensor:
    axis = call.get("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    picked = torch.nonzero(condition.to(torch.bool)).reshape(-1)
    return x.index_select(axis, picked)


@operator("ReverseSequence")
def reverse_sequence(call: Call, x: Tensor, lengths: Tensor) -> Tensor:
    time, batch = call.get("time_axis", 0), call.get("batch_axis", 1)
    along = [1] * x.ndim
    along[time] = -1
    steps = torch.arange(x.shape[time], device=x.device).reshape(along)
    across = [1] * x.ndim
    across[batch] = -1
    until = lengths.reshape(across)
    rows = torch.where(steps < until, until - 1 - steps, steps)
    return x.gather(time, rows.expand(x.shape))


@operator("Unique")
def unique(call: Call, x: Tensor) -> tuple[Tensor, ...]:
    axis, ordered = call.get("axis"), bool(call.get("sorted", 1))
    values, inverse, counts = torch.unique(
        x, sorted=True, return_inverse=True, return_counts=True, dim=axis
    )
    inverse = inverse.reshape(-1)
    rows = torch.arange(len(inverse), device=x.device)
    first = torch.full_like(counts, len(inverse)).scatter_reduce(0, inverse, rows, "amin")
    if not ordered:
        order = torch.argsort(first)
        place = torch.argsort(order)
        values = values.index_select(axis or 0, order)
        first, counts, inverse = first[order], counts[order], place[inverse]
    return values, first, inverse, counts
