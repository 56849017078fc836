"""Layers that move, join or pool values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.caffe.layers import Layer, Parameters, layer


@layer("Pooling")
def pooling(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("pooling_param")
    how = {"MAX": 0, "AVE": 1}.get(p.one("pool", "MAX"), p.one("pool", "MAX"))
    if how not in (0, 1) or own.tops > 1:
        raise own.refuse("it pools at random, or gives the places of the largest values")
    if p.one("global_pooling", False):
        return x[0].amax([2, 3], True) if how == 0 else x[0].mean([2, 3], True)
    kernel, stride = p.both("kernel", 1, "kernel_size"), p.both("stride", 1)
    pad = p.both("pad", 0)
    # Caffe rounds up, and leaves out windows that would begin in the padding: so does ceil_mode.
    up = p.one("round_mode", "CEIL") in ("CEIL", 0) and p.one("ceil_mode", True)
    if up and max(pad) == 0 and any(a < b for a, b in zip(kernel, stride, strict=True)):
        raise own.refuse("its windows lie apart, and the last one may begin outside")
    if how == 0:
        return F.max_pool2d(x[0], kernel, stride, pad, ceil_mode=up)
    return F.avg_pool2d(x[0], kernel, stride, pad, ceil_mode=up, count_include_pad=True)


@layer("LRN")
def local_response(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("lrn_param")
    size, alpha, beta = p.one("local_size", 5), p.one("alpha", 1.0), p.one("beta", 0.75)
    if p.one("norm_region", "ACROSS_CHANNELS") in ("WITHIN_CHANNEL", 1):
        means = F.avg_pool2d(x[0].square(), size, 1, size // 2)
        return x[0] / (1 + alpha * means) ** beta
    return F.local_response_norm(x[0], size, alpha, beta, p.one("k", 1.0))


@layer("MVN")
def mean_variance(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("mvn_param")
    axes = [1, 2, 3] if p.one("across_channels", False) else [2, 3]
    centred = x[0] - x[0].mean(axes, True)
    if not p.one("normalize_variance", True):
        return centred
    return centred / (centred.square().mean(axes, True).sqrt() + p.one("eps", 1e-9))


@layer("Concat")
def concat(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("concat_param")
    return torch.cat(list(x), p.one("concat_dim", p.one("axis", 1)))


@layer("Slice")
def cut(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> tuple[Tensor, ...]:
    p = own.parameters("slice_param")
    axis, points = p.one("slice_dim", p.one("axis", 1)), p.all("slice_point")
    if not points:
        return tuple(x[0].chunk(own.tops, axis))
    edges = [0, *points, x[0].shape[axis]]
    return tuple(x[0].narrow(axis, a, b - a) for a, b in pairwise(edges))


@layer("Flatten")
def flatten(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("flatten_param")
    return x[0].flatten(p.one("axis", 1), p.one("end_axis", -1))


@layer("Reshape")
def reshape(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("reshape_param")
    sizes = Parameters(p.one("shape", {})).all("dim")
    axis, count = p.one("axis", 0), p.one("num_axes", -1)
    axis = axis + x[0].ndim + 1 if axis < 0 else axis
    end = x[0].ndim if count < 0 else axis + count
    own_sizes = list(x[0].shape)
    wanted = [own_sizes[axis + n] if size == 0 else size for n, size in enumerate(sizes)]
    return x[0].reshape([*own_sizes[:axis], *wanted, *own_sizes[end:]])


@layer("Permute")
def permute(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    order = own.parameters("permute_param").all("order")
    return x[0].permute([*order, *(n for n in range(x[0].ndim) if n not in order)])


@layer("Crop")
def crop(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("crop_param")
    first, offsets = p.one("axis", 2) % x[0].ndim, p.all("offset", [0])
    found = x[0]
    for n, axis in enumerate(range(first, found.ndim)):
        start = offsets[n] if len(offsets) > 1 else offsets[0]
        found = found.narrow(axis, start, x[1].shape[axis])
    return found


@layer("Tile")
def tile(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("tile_param")
    times = [1] * x[0].ndim
    times[p.one("axis", 1)] = p.one("tiles", 1)
    return x[0].repeat(times)


@layer("Reduction")
def reduction(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("reduction_param")
    axis, how = p.one("axis", 0) % x[0].ndim, p.one("operation", "SUM")
    flat = x[0].flatten(axis)
    steps = {
        "SUM": lambda: flat.sum(-1),
        "ASUM": lambda: flat.abs().sum(-1),
        "SUMSQ": lambda: flat.square().sum(-1),
        "MEAN": lambda: flat.mean(-1),
    }
    names = {1: "SUM", 2: "ASUM", 3: "SUMSQ", 4: "MEAN"}
    return steps[names.get(how, how)]() * p.one("coeff", 1.0)


@layer("ArgMax")
def arg_max(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("argmax_param")
    count, axis = p.one("top_k", 1), p.one("axis")
    if axis is not None:
        found = x[0].topk(count, axis)
        return found.values if p.one("out_max_val", False) else found.indices.to(x[0].dtype)
    if x[0].ndim > 2:
        raise own.refuse("it looks over whole pictures without an axis")
    found = x[0].flatten(1).topk(count, 1)
    places = found.indices.to(x[0].dtype).unsqueeze(1)
    if p.one("out_max_val", False):
        return torch.cat([places, found.values.unsqueeze(1)], 1)
    return places


@layer("Interp")
def interpolate(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("interp_param")
    height, width = x[0].shape[2:]
    height, width = (size + p.one("pad_beg", 0) + p.one("pad_end", 0) for size in (height, width))
    if p.one("pad_beg", 0) or p.one("pad_end", 0):
        raise own.refuse("it pads")
    if len(x) > 1:
        size = list(x[1].shape[2:])
    elif p.one("height"):
        size = [p.one("height"), p.one("width")]
    else:
        size = [_zoomed(p, height), _zoomed(p, width)]
    return F.interpolate(x[0], size, mode="bilinear", align_corners=True)


def _zoomed(p: Parameters, size: Any) -> Any:
    if p.one("shrink_factor"):
        size = (size - 1) // p.one("shrink_factor") + 1
    if p.one("zoom_factor"):
        size = size + (size - 1) * (p.one("zoom_factor") - 1)
    return size


@layer("Upsample")
def upsample(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("upsample_param")
    if len(x) > 1:
        raise own.refuse("it puts values back to where they were the largest")
    times = p.one("scale", 2)
    size = [side * times for side in x[0].shape[2:]]
    return F.interpolate(x[0], size, mode="nearest")


@layer("Reorg")
def reorg(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    """As darknet does: the values are read as if they had fewer channels and more pixels."""
    p = own.parameters("reorg_param")
    if p.one("reverse", False):
        raise own.refuse("it goes back")
    step = p.one("stride", 2)
    batch, channels, height, width = x[0].shape
    parts = x[0].reshape(batch, channels // step**2, height, step, width, step)
    parts = parts.permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(batch, channels * step * step, height // step, width // step)


@layer("ShuffleChannel")
def shuffle(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    groups = own.parameters("shuffle_channel_param").one("group", 1)
    return F.channel_shuffle(x[0], groups)


@layer("PriorBox")
def prior_box(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    """``(batch, 2, 4 * boxes)``: corners as shares of the picture, and their variances."""
    p = own.parameters("prior_box_param")
    rows, columns = x[0].shape[2:]
    height, width = p.both("img", 0, "img_size")
    height, width = height or x[1].shape[2], width or x[1].shape[3]
    step_down, step_right = p.both("step", 0)
    step_down, step_right = step_down or height / rows, step_right or width / columns
    offset = p.one("offset", 0.5)
    down = (torch.arange(rows) + offset) * step_down
    right = (torch.arange(columns) + offset) * step_right
    centres = torch.stack(torch.meshgrid(down, right, indexing="ij"), -1).reshape(-1, 1, 2)
    half = torch.tensor(_sizes(p))[None] / 2
    corners = [
        (centres[..., 1] - half[..., 0]) / width,
        (centres[..., 0] - half[..., 1]) / height,
        (centres[..., 1] + half[..., 0]) / width,
        (centres[..., 0] + half[..., 1]) / height,
    ]
    boxes = torch.stack(corners, -1)
    boxes = boxes.clamp(0, 1) if p.one("clip", False) else boxes
    spread = torch.tensor(p.all("variance", [0.1]), dtype=torch.float32)
    spread = spread if len(spread) == 4 else spread.repeat(4)
    found = torch.stack([boxes.flatten(), spread.repeat(boxes.numel() // 4)])
    return found.expand(x[0].shape[0], -1, -1)  # the same for every picture


def _sizes(p: Parameters) -> list[tuple[float, float]]:
    """Width and height of the boxes around one place."""
    ratios = [1.0]
    for ratio in p.all("aspect_ratio"):
        if all(abs(ratio - known) > 1e-6 for known in ratios):
            ratios += [ratio, 1 / ratio] if p.one("flip", True) else [ratio]
    sizes: list[tuple[float, float]] = []
    largest = p.all("max_size")
    for n, least in enumerate(p.all("min_size")):
        sizes.append((least, least))
        if largest:
            sizes.append((math.sqrt(least * largest[n]),) * 2)
        roots = [math.sqrt(ratio) for ratio in ratios if abs(ratio - 1) > 1e-6]
        sizes += [(least * root, least / root) for root in roots]
    return sizes
