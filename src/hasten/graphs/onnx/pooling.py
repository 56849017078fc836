"""Pooling over windows and over everything."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.module import numbers
from hasten.graphs.onnx import Call, operator
from hasten.graphs.onnx.elementwise import computable
from hasten.graphs.onnx.layers import alike, padded, padding, spatial

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
UNPOOL = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}


def _ends(
    call: Call, x: Tensor, kernel: list[int], strides: list[int], apart: list[int]
) -> tuple[list[Any], list[Any]]:
    """Padding before and after; with ``ceil_mode`` after it also what makes the last window whole,
    where that window begins inside."""
    before, after = padding(call, x.shape[2:], kernel, strides, apart)
    if not call.get("ceil_mode", 0):
        return before, after
    for n, (width, stride, dilation) in enumerate(zip(kernel, strides, apart, strict=True)):
        whole = x.shape[2 + n] + before[n] + after[n]
        reach = (width - 1) * dilation + 1
        inside = -(-(x.shape[2 + n] + before[n]) // stride)
        count = torch.sym_min(-(-(whole - reach) // stride) + 1, inside)
        after[n] = after[n] + torch.sym_max(0, (count - 1) * stride + reach - whole)
    return before, after


@operator("MaxPool")
def max_pool(call: Call, x: Tensor) -> Any:
    kernel = list(call.get("kernel_shape"))
    rank = len(kernel)
    if rank not in MAX:
        raise call.refuse(f"it has {rank} spatial dimensions")
    strides, apart = spatial(call, "strides", rank), spatial(call, "dilations", rank)
    before, after = _ends(call, x, kernel, strides, apart)
    kind, x = x.dtype, x if x.is_floating_point() else computable(x).to(torch.float64)
    step: Any = MAX[rank]
    fits = alike(before, after) and all(2 * a <= b for a, b in zip(before, kernel, strict=True))
    if call.outputs > 1:
        found, places = _with_places(call, x, kernel, strides, apart, before, after)
        return found.to(kind), places
    if not fits:
        x, before = padded(x, before, after, -math.inf), [0] * rank
    highest: Tensor = step(x, kernel, strides, before, apart)
    return highest.to(kind)


def _with_places(
    call: Call,
    x: Tensor,
    kernel: list[int],
    strides: list[int],
    apart: list[int],
    before: list[Any],
    after: list[Any],
) -> tuple[Tensor, Tensor]:
    """The largest values and their places in the whole, unpadded tensor."""
    step: Any = MAX[len(kernel)]
    wide = padded(x, before, after, -math.inf)
    found, places = step(wide, kernel, strides, 0, apart, return_indices=True)
    parts, rest = [], places
    for size in reversed(wide.shape[2:]):
        parts.append(rest % size)
        rest = rest // size
    coordinates = [part - less for part, less in zip(parts[::-1], before, strict=True)]
    flat = torch.zeros_like(places)
    order = list(zip(coordinates, x.shape[2:], strict=True))
    if call.get("storage_order", 0):
        order = order[::-1]
    for coordinate, size in order:
        flat = flat * size + coordinate
    planes = torch.arange(x.shape[0] * x.shape[1]).reshape([*x.shape[:2], *[1] * len(kernel)])
    return found, flat + planes * math.prod(x.shape[2:])


@operator("AveragePool")
def average_pool(call: Call, x: Tensor) -> Tensor:
    kernel = list(call.get("kernel_shape"))
    rank = len(kernel)
    if rank not in AVERAGE:
        raise call.refuse(f"it has {rank} spatial dimensions")
    if any(one != 1 for one in call.get("dilations", [])):
        return _dilated_average(call, x, kernel)
    strides = spatial(call, "strides", rank)
    asked = padding(call, x.shape[2:], kernel, strides, [1] * rank)
    before, after = _ends(call, x, kernel, strides, [1] * rank)
    step: Any = AVERAGE[rank]
    counted = bool(call.get("count_include_pad", 0))
    fits = alike(before, after) and all(2 * a <= b for a, b in zip(before, kernel, strict=True))
    if fits and not (counted and after != asked[1]):
        found: Tensor = step(x, kernel, strides, before, False, counted)
        return found
    found = step(padded(x, before, after), kernel, strides)
    # What ceil_mode adds beyond the padding that was asked for never counts.
    one = torch.ones_like(x[:1, :1])
    inside = padded(one, *asked, 1.0) if counted else padded(one, *asked)
    beyond = [a - b for a, b in zip(after, asked[1], strict=True)]
    return found / step(padded(inside, [0] * rank, beyond), kernel, strides)


def _dilated_average(call: Call, x: Tensor, kernel: list[int]) -> Tensor:
    """As a convolution with equal weights."""
    from hasten.graphs.onnx.layers import CONVOLUTIONS

    rank = len(kernel)
    strides, apart = spatial(call, "strides", rank), spatial(call, "dilations", rank)
    before, after = _ends(call, x, kernel, strides, apart)
    asked = padding(call, x.shape[2:], kernel, strides, apart)
    step: Any = CONVOLUTIONS[rank]
    weight = torch.ones([1, 1, *kernel], dtype=x.dtype)
    planes = padded(x, before, after).flatten(0, 1).unsqueeze(1)
    sums = step(planes, weight, None, strides, 0, apart)
    one = torch.ones_like(x[:1, :1])
    inside = padded(one, *asked, 1.0) if call.get("count_include_pad", 0) else padded(one, *asked)
    beyond = [a - b for a, b in zip(after, asked[1], strict=True)]
    counts = step(padded(inside, [0] * rank, beyond), weight, None, strides, 0, apart)
    found: Tensor = (sums / counts).reshape([*x.shape[:2], *sums.shape[2:]])
    return found


@operator("LpPool")
def lp_pool(call: Call, x: Tensor) -> Tensor:
    kernel, p = list(call.get("kernel_shape")), call.get("p", 2)
    rank = len(kernel)
    strides, apart = spatial(call, "strides", rank), spatial(call, "dilations", rank)
    if any(one != 1 for one in apart) or rank not in AVERAGE:
        raise call.refuse("it is dilated, or has more than three spatial dimensions")
    before, after = _ends(call, x, kernel, strides, apart)
    step: Any = AVERAGE[rank]
    sums: Tensor = step(padded(x.abs() ** p, before, after), kernel, strides) * math.prod(kernel)
    return sums ** (1 / p)


@operator("GlobalAveragePool")
def global_average(call: Call, x: Tensor) -> Tensor:
    return x.mean(list(range(2, x.ndim)), True)


@operator("GlobalMaxPool")
def global_max(call: Call, x: Tensor) -> Tensor:
    return x.amax(list(range(2, x.ndim)), True)


@operator("GlobalLpPool")
def global_lp(call: Call, x: Tensor) -> Tensor:
    p = call.get("p", 2)
    return (x.abs() ** p).sum(list(range(2, x.ndim)), True) ** (1 / p)


@operator("MaxUnpool", host=(2,))
def max_unpool(call: Call, x: Tensor, places: Tensor, sizes: Any = None) -> Tensor:
    kernel = list(call.get("kernel_shape"))
    rank = len(kernel)
    strides, pads = spatial(call, "strides", rank), call.get("pads", [0] * (2 * rank))
    own = [
        (size - 1) * stride + width - pads[n] - pads[rank + n]
        for n, (size, stride, width) in enumerate(zip(x.shape[2:], strides, kernel, strict=True))
    ]
    flat = torch.zeros(math.prod([*x.shape[:2], *own]), dtype=x.dtype)
    flat = flat.scatter(0, places.reshape(-1), x.reshape(-1)).reshape([*x.shape[:2], *own])
    if sizes is None:
        return flat
    # Places count in the shape that was pooled; a larger one has that in its first corner.
    lacking = [want - have for want, have in zip(numbers(sizes)[2:], own, strict=True)]
    return padded(flat, [0] * rank, lacking)
