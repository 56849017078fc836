"""Resize and its relatives, computed as ONNX says, axis by axis."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.module import numbers
from hasten.graphs.onnx import Call, operator


@operator("Upsample", host=(1,))
def upsample(call: Call, x: Tensor, scales: Any = None) -> Tensor:
    wanted = call.get("scales") if scales is None else numbers(scales)
    if wanted is None:
        raise call.refuse("its scales are two attributes of operator set 1")
    if call.kind == "Resize" and any(scale < 1 for scale in wanted):
        raise call.refuse("it makes smaller, which operator set 10 does not define")
    if not x.is_floating_point() and call.get("mode", "nearest") != "nearest":
        raise call.refuse(f"it interpolates values of {x.dtype}")
    found = x
    for axis, scale in enumerate(wanted):
        if scale == 1:
            continue
        size = math.floor(x.shape[axis] * scale)
        at = torch.arange(size, dtype=torch.float32) / scale  # asymmetric, rounded down
        found = _nearest(found, axis, at.floor()) if call.get("mode", "nearest") == "nearest" \
            else _linear(found, axis, at, x.shape[axis])  # fmt: skip
    return found


@operator("Resize", host=(1, 2, 3))
def resize(
    call: Call, x: Tensor, region: Any = None, scales: Any = None, sizes: Any = None
) -> Tensor:
    if call.opset < 11:
        return upsample(call, x, region)
    axes = [axis % x.ndim for axis in call.get("axes", range(x.ndim))]
    given_scales = numbers(scales) if scales is not None else []
    given_sizes = numbers(sizes) if sizes is not None else []
    ends = numbers(region) if region is not None else []
    factors, targets = _extents(call, x, axes, given_scales, given_sizes)
    _refuse_fractions(call, x, axes, factors, targets)
    if (found := _by_pytorch(call, x, axes, targets, factors)) is not None:
        return found
    if not x.is_floating_point() and call.get("mode", "nearest") != "nearest":
        raise call.refuse(f"it interpolates values of {x.dtype}")
    found = x
    for n, axis in enumerate(axes):
        if targets[n] == x.shape[axis] and factors[n] == 1 and not ends:
            continue
        edges = (ends[n], ends[n + len(axes)]) if ends else (0.0, 1.0)
        found = _along(call, found, axis, targets[n], factors[n], edges)
    return found


def _extents(
    call: Call, x: Tensor, axes: list[int], scales: list[Any], sizes: list[Any]
) -> tuple[list[Any], list[Any]]:
    """The factor and the size of every axis."""
    if scales:
        return scales, [
            x.shape[axis] if scale == 1 else math.floor(x.shape[axis] * scale)
            for axis, scale in zip(axes, scales, strict=True)
        ]
    factors = [
        1 if _same(size, x.shape[axis]) else size / x.shape[axis]
        for axis, size in zip(axes, sizes, strict=True)
    ]
    policy = call.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        one = min(factors) if policy == "not_larger" else max(factors)
        factors = [one] * len(axes)
        sizes = [math.floor(x.shape[axis] * one + 0.5) for axis in axes]
    return factors, sizes


def _refuse_fractions(
    call: Call, x: Tensor, axes: list[int], factors: list[Any], targets: list[Any]
) -> None:
    """Where a factor leads to no whole size, the text of ONNX and its runtimes align corners
    differently."""
    if call.get("coordinate_transformation_mode") != "align_corners":
        return
    for axis, factor, size in zip(axes, factors, targets, strict=True):
        if isinstance(size, int) and abs(factor * x.shape[axis] - size) > 1e-4:
            raise call.refuse(f"it aligns corners, and {factor} times {x.shape[axis]} is not whole")


def _same(size: Any, own: Any) -> bool:
    """Whether an axis stays; two symbols are compared as they are written."""
    if isinstance(size, int) and isinstance(own, int):
        return size == own
    return str(size) == str(own)


def _by_pytorch(
    call: Call, x: Tensor, axes: list[int], targets: list[Any], factors: list[Any]
) -> Tensor | None:
    """By ``interpolate``, which engines know, where it computes the same: pictures only, factors
    that are whole for nearest neighbours."""
    mode, place = call.get("mode", "nearest"), call.get(
        "coordinate_transformation_mode", "half_pixel"
    )  # fmt: skip
    by_axis = dict(zip(axes, targets, strict=True))
    still = all(_same(by_axis.get(n, x.shape[n]), x.shape[n]) for n in (0, 1))
    if x.ndim != 4 or not still or not x.is_floating_point() or call.get("antialias", 0):
        return None
    size = [by_axis.get(n, x.shape[n]) for n in (2, 3)]
    times = dict(zip(axes, factors, strict=True))
    whole = all(
        isinstance(a, int) and isinstance(b, int) and a % b == 0 and times.get(n, 1) * b == a
        for n, a, b in zip((2, 3), size, x.shape[2:], strict=True)
    )
    if mode == "nearest" and whole:
        rounding = call.get("nearest_mode", "round_prefer_floor")
        if (place == "asymmetric" and rounding == "floor") or (
            place in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
        ):
            return F.interpolate(x, size, mode="nearest")
    if mode == "linear" and whole and place in ("half_pixel", "pytorch_half_pixel"):
        return F.interpolate(x, size, mode="bilinear")
    if mode == "linear" and place == "align_corners":
        return F.interpolate(x, size, mode="bilinear", align_corners=True)
    return None


def _along(
    call: Call, x: Tensor, axis: int, size: int, scale: float, edges: tuple[float, float]
) -> Tensor:
    """One axis at a new size."""
    own = x.shape[axis]
    at = _places(call, own, size, scale, edges)
    mode = call.get("mode", "nearest")
    if mode == "nearest":
        found = _nearest(x, axis, _rounded(call.get("nearest_mode", "round_prefer_floor"), at))
    elif call.get("antialias", 0) and scale < 1:
        found = _smoothed(call, x, axis, at, scale)
    elif mode == "linear":
        found = _linear(x, axis, at, own)
    elif mode == "cubic":
        found = _cubic(call, x, axis, at, own)
    else:
        raise call.refuse(f"its mode is '{mode}'")
    if call.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        outside = ((at < 0) | (at > own - 1)).reshape(_shape(x, axis))
        found = torch.where(outside, call.get("extrapolation_value", 0.0), found)
    return found


def _places(call: Call, own: int, size: int, scale: float, edges: tuple[float, float]) -> Tensor:
    """Where every new value lies among the old ones."""
    n = torch.arange(size, dtype=torch.float64)
    mode = call.get("coordinate_transformation_mode", "half_pixel")
    if mode == "half_pixel":
        return (n + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (n + 0.5) / scale - 0.5 if size > 1 else n * 0
    if mode == "half_pixel_symmetric":
        adjustment = size / (scale * own)
        return own / 2 * (1 - adjustment) + (n + 0.5) / scale - 0.5
    if mode == "asymmetric":
        return n / scale
    if mode == "align_corners":
        return n * ((own - 1) / (size - 1)) if size > 1 else n * 0
    if mode == "tf_half_pixel_for_nn":
        return (n + 0.5) / scale
    if mode == "tf_crop_and_resize":
        first, last = edges
        if size > 1:
            return first * (own - 1) + n * ((last - first) * (own - 1) / (size - 1))
        return n + 0.5 * (first + last) * (own - 1)
    raise call.refuse(f"its coordinates are '{mode}'")


def _rounded(mode: str, at: Tensor) -> Tensor:
    if mode == "floor":
        return at.floor()
    if mode == "ceil":
        return at.ceil()
    if mode == "round_prefer_ceil":
        return (at + 0.5).floor()
    return (at - 0.5).ceil()


def _shape(x: Tensor, axis: int) -> list[int]:
    shape = [1] * x.ndim
    shape[axis] = -1
    return shape


def _nearest(x: Tensor, axis: int, at: Tensor) -> Tensor:
    return x.index_select(axis, at.to(torch.int64).clamp(0, x.shape[axis] - 1))


def _linear(x: Tensor, axis: int, at: Tensor, own: int) -> Tensor:
    low = at.floor()
    share = (at - low).to(x.dtype).reshape(_shape(x, axis))
    return _nearest(x, axis, low) * (1 - share) + _nearest(x, axis, low + 1) * share


def _cubic(call: Call, x: Tensor, axis: int, at: Tensor, own: int) -> Tensor:
    low = at.floor()
    weights = _cubic_weights(call, at - low)
    places = [low + n for n in (-1, 0, 1, 2)]
    if call.get("exclude_outside", 0):
        weights = [
            torch.where((place >= 0) & (place < own), weight, 0.0)
            for place, weight in zip(places, weights, strict=True)
        ]
        total = sum(weights[1:], weights[0])
        weights = [weight / total for weight in weights]
    parts = [
        _nearest(x, axis, place) * weight.to(x.dtype).reshape(_shape(x, axis))
        for place, weight in zip(places, weights, strict=True)
    ]
    return sum(parts[1:], parts[0])


def _cubic_weights(call: Call, share: Tensor) -> list[Tensor]:
    return [_cubic_at(call, (share - n).abs()) for n in (-1, 0, 1, 2)]


def _cubic_at(call: Call, distance: Tensor) -> Tensor:
    a = call.get("cubic_coeff_a", -0.75)
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))


def _smoothed(call: Call, x: Tensor, axis: int, at: Tensor, scale: float) -> Tensor:
    """With the filter as wide as a new value: a product with one matrix per axis."""
    own = x.shape[axis]
    mode = call.get("mode")
    reach = (2 if mode == "cubic" else 1) / scale
    first = math.floor(float(at.min()) - reach) - 1
    last = math.ceil(float(at.max()) + reach) + 1
    places = torch.arange(first, last + 1, dtype=torch.float64)
    distance = (places[None] - at[:, None]).abs() * scale
    weights = _cubic_at(call, distance) if mode == "cubic" else (1 - distance).clamp(min=0)
    if call.get("exclude_outside", 0):
        weights = weights * ((places >= 0) & (places < own))
    weights = weights / weights.sum(1, keepdim=True)
    inside = places.to(torch.int64).clamp(0, own - 1)
    matrix = torch.zeros(len(at), own, dtype=torch.float64).index_add(1, inside, weights)
    return torch.movedim(torch.movedim(x, axis, -1) @ matrix.T.to(x.dtype), -1, axis)


@operator("GridSample")
def grid_sample(call: Call, x: Tensor, grid: Tensor) -> Tensor:
    modes = {"linear": "bilinear", "cubic": "bicubic"}
    mode = call.get("mode", "bilinear")
    found: Tensor = F.grid_sample(
        x,
        grid,
        modes.get(mode, mode),
        call.get("padding_mode", "zeros"),
        bool(call.get("align_corners", 0)),
    )
    return found


@operator("AffineGrid", host=(1,))
def affine_grid(call: Call, theta: Tensor, size: Any) -> Tensor:
    return F.affine_grid(theta, numbers(size), bool(call.get("align_corners", 0)))


@operator("CenterCropPad", host=(1,))
def center_crop_pad(call: Call, x: Tensor, sizes: Any) -> Tensor:
    axes = call.get("axes", list(range(x.ndim)))
    for axis, size in zip(axes, numbers(sizes), strict=True):
        lacking = size - x.shape[axis]
        if lacking < 0:
            x = x.narrow(axis, (-lacking) // 2, size)
        elif lacking > 0:
            flat = [0, 0] * x.ndim
            place = 2 * (x.ndim - 1 - axis % x.ndim)
            flat[place], flat[place + 1] = lacking // 2, lacking - lacking // 2
            x = F.pad(x, flat)
    return x
