"""Operators on shapes, and those that only move values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.module import host, number, numbers, shape_of, tensor
from hasten.graphs.onnx import Call, operator
from hasten.graphs.onnx.host import axes_of, slices

FAR = 1 << 31
"""Ends beyond it mean: to the end."""


@operator("Shape", raw=True)
def shape(call: Call, x: Any) -> np.ndarray:
    return host(shape_of(x)[call.get("start", 0) : call.get("end")]).astype(_kind(x, call))


def _kind(x: Any, call: Call) -> Any:
    sizes = shape_of(x)[call.get("start", 0) : call.get("end")]
    return np.int64 if all(isinstance(size, int) for size in sizes) else object


@operator("Size", raw=True)
def size(call: Call, x: Any) -> np.ndarray:
    count = math.prod(shape_of(x))
    return host([count]).reshape(())


@operator("Reshape", host=(1,))
def reshape(call: Call, x: Tensor, sizes: Any = None) -> Tensor:
    wanted = call.get("shape") if sizes is None else numbers(sizes)
    keep = not call.get("allowzero", 0)
    return x.reshape([x.shape[n] if keep and _is(one, 0) else one for n, one in enumerate(wanted)])


def _is(size: Any, value: int) -> bool:
    """Whether a size is this number; a symbol is none."""
    return isinstance(size, int) and size == value


@operator("Flatten")
def flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    if axis == 1 and x.ndim > 1:
        return x.flatten(1)
    return x.reshape([math.prod(x.shape[:axis]), math.prod(x.shape[axis:])])


@operator("Transpose")
def transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(*call.get("perm", list(range(x.ndim))[::-1]))


@operator("Squeeze", host=(1,))
def squeeze(call: Call, x: Tensor, axes: Any = None) -> Tensor:
    wanted = axes_of(call, axes)
    return x.squeeze() if wanted is None else x.squeeze(tuple(wanted))


@operator("Unsqueeze", host=(1,))
def unsqueeze(call: Call, x: Tensor, axes: Any = None) -> Tensor:
    wanted = axes_of(call, axes) or []
    rank = x.ndim + len(wanted)
    for axis in sorted(axis % rank for axis in wanted):
        x = x.unsqueeze(axis)
    return x


@operator("Concat")
def concat(call: Call, *values: Tensor) -> Tensor:
    return torch.cat(values, call.get("axis", 1))


@operator("Split", host=(1,))
def split(call: Call, x: Tensor, sizes: Any = None) -> tuple[Tensor, ...]:
    axis = call.get("axis", 0)
    wanted = call.get("split") or (numbers(sizes) if sizes is not None else None)
    if wanted is None:
        count = call.get("num_outputs", call.outputs)
        return tuple(x.split(-(-x.shape[axis] // count), axis))
    return tuple(x.split(list(wanted), axis))


@operator("Slice", host=(1, 2, 3, 4))
def cut(call: Call, x: Tensor, *given: Any) -> Tensor:
    for start, end, axis, step in zip(*slices(call, x.ndim, given), strict=True):
        if isinstance(step, int) and step < 0:
            x = _backwards(x, start, end, axis, step)
            continue
        index: list[Any] = [slice(None)] * x.ndim
        index[axis] = slice(start, None if isinstance(end, int) and end >= FAR else end, step)
        x = x[tuple(index)]
    return x


def _backwards(x: Tensor, start: int, end: int, axis: int, step: int) -> Tensor:
    """A slice that goes down: what it would pick going up, turned around."""
    length = x.shape[axis]
    start = min(max(start + length if start < 0 else start, 0), length - 1)
    end = -1 if end < -length else end + length if end < 0 else end
    end = max(end, -1)
    picked = torch.arange(start, end, step, device=x.device)
    return x.index_select(axis, picked)


@operator("Expand", host=(1,))
def expand(call: Call, x: Tensor, sizes: Any) -> Tensor:
    wanted = numbers(sizes)
    rank = max(len(wanted), x.ndim)
    own = [1] * (rank - x.ndim) + list(x.shape)
    wanted = [1] * (rank - len(wanted)) + wanted
    return x.expand([a if _is(b, 1) else b for a, b in zip(own, wanted, strict=True)])


@operator("Tile", host=(1, 2))
def tile(call: Call, x: Tensor, repeats: Any, axis: Any = None) -> Tensor:
    times = numbers(repeats)
    if axis is not None:  # operator set 1: one axis, so many times
        times = [times[0] if n == number(axis) else 1 for n in range(x.ndim)]
    return x.repeat(times)


@operator("ConstantOfShape", host=(0,))
def constant_of_shape(call: Call, sizes: Any) -> Tensor:
    value = call.get("value")
    value = np.zeros(1, np.float32) if value is None else value.flatten()
    kind = tensor(value).dtype
    return torch.full(numbers(sizes), value[0].item(), dtype=kind)


@operator("Range", host=(0, 1, 2))
def span(call: Call, start: Any, end: Any, step: Any) -> Tensor:
    kind = start.dtype if isinstance(start, Tensor) else tensor(start).dtype
    first, last, by = number(start), number(end), number(step)
    if kind.is_floating_point:
        count = max(math.ceil((last - first) / by), 0)
        return first + torch.arange(count, dtype=kind) * by
    return torch.arange(first, last, by, dtype=kind)


@operator("Pad", host=(1, 2, 3))
def pad(call: Call, x: Tensor, given: Any = None, value: Any = None, axes: Any = None) -> Tensor:
    pads = call.get("pads", call.get("paddings")) if given is None else numbers(given)
    filler = call.get("value", 0.0) if value is None else number(value)
    wanted = [axis % x.ndim for axis in numbers(axes)] if axes is not None else range(x.ndim)
    count = len(pads) // 2
    both = {axis: (pads[n], pads[n + count]) for n, axis in enumerate(wanted)}
    mode = call.get("mode", "constant")
    if mode == "constant":
        flat = [one for axis in reversed(range(x.ndim)) for one in both.get(axis, (0, 0))]
        return F.pad(x, flat, value=filler)
    for axis, (before, after) in both.items():
        if before or after:
            x = x.index_select(axis, _mirrored(call, x.shape[axis], before, after, mode))
    return x


def _mirrored(call: Call, size: int, before: int, after: int, mode: str) -> Tensor:
    """Which values stand along a padded axis."""
    places = torch.arange(-before, size + after)
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places % size
    if mode != "reflect":
        raise call.refuse(f"its mode is '{mode}'")
    if size == 1:
        return places * 0
    period = 2 * (size - 1)
    turned = places % period
    return torch.where(turned < size, turned, period - turned)


@operator("DepthToSpace")
def depth_to_space(call: Call, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    block = call.get("blocksize")
    if call.get("mode", "DCR") == "DCR":
        parts = x.reshape(batch, block, block, channels // block**2, height, width)
        parts = parts.permute(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(batch, channels // block**2, block, block, height, width)
        parts = parts.permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(batch, channels // block**2, height * block, width * block)


@operator("SpaceToDepth")
def space_to_depth(call: Call, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    block = call.get("blocksize")
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    by_channel = call.get("mode", "DCR") == "CRD"
    parts = parts.permute((0, 1, 3, 5, 2, 4) if by_channel else (0, 3, 5, 1, 2, 4))
    return parts.reshape(batch, channels * block**2, height // block, width // block)


@operator("Trilu", host=(1,))
def trilu(call: Call, x: Tensor, diagonal: Any = None) -> Tensor:
    step = torch.triu if call.get("upper", 1) else torch.tril
    return step(x, int(number(diagonal)) if diagonal is not None else 0)


@operator("EyeLike")
def eye_like(call: Call, x: Tensor) -> Tensor:
    from hasten.graphs.onnx.kinds import torch_kind

    kind = torch_kind(call, call.get("dtype")) if call.get("dtype") else x.dtype
    rows = torch.arange(x.shape[0])[:, None] + call.get("k", 0)
    return (rows == torch.arange(x.shape[1])[None]).to(kind)
