"""Quantised operators: in fp32 what they say, rounded as they round."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hasten.graphs.onnx import Call, operator
from hasten.graphs.onnx.kinds import torch_kind
from hasten.graphs.onnx.layers import conv


def _along(call: Call, x: Tensor, value: Tensor, axis: int) -> Tensor:
    """Scales or zero points in the shape that broadcasts along ``axis``."""
    if value.ndim == 0 or value.numel() == 1:
        return value.reshape(())
    if value.ndim > 1:
        times = call.get("block_size", 0)
        if not times:
            return value
        return value.repeat_interleave(times, axis).narrow(axis, 0, x.shape[axis])
    shape = [1] * x.ndim
    shape[axis] = -1
    return value.reshape(shape)


@operator("QuantizeLinear")
def quantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    axis = call.get("axis", 1)
    kind = zero.dtype if zero is not None else torch.uint8
    if zero is None and call.get("output_dtype"):
        kind = torch_kind(call, call.get("output_dtype"))
    if kind.is_floating_point:
        raise call.refuse(f"it quantises to {kind}")
    steps = torch.round(x.float() / _along(call, x, scale, axis).float())
    if zero is not None:
        steps = steps + _along(call, x, zero, axis).to(torch.float32)
    limits = torch.iinfo(kind)
    return steps.clamp(limits.min, limits.max).to(torch.int32).to(kind)


@operator("DequantizeLinear")
def dequantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    if x.is_floating_point():
        raise call.refuse(f"it reads {x.dtype}")
    axis = call.get("axis", 1)
    whole = x.to(torch.int32)
    if zero is not None:
        whole = whole - _along(call, x, zero, axis).to(torch.int32)
    kind = scale.dtype
    if call.get("output_dtype"):
        kind = torch_kind(call, call.get("output_dtype"))
    return (whole.float() * _along(call, x, scale, axis).float()).to(kind)


@operator("DynamicQuantizeLinear")
def dynamic_quantize(call: Call, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = (high - low) / 255
    zero = torch.round((-low / scale).clamp(0, 255))
    steps = torch.round(x / scale) + zero
    return steps.clamp(0, 255).to(torch.uint8), scale, zero.to(torch.uint8)


def _whole(x: Tensor, zero: Any, axis: int) -> Tensor:
    """Less the zero point, in a float kind that holds every product exactly."""
    wide = x.to(torch.float64)
    if zero is None:
        return wide
    shape = [1] * x.ndim
    if zero.numel() > 1:
        shape[axis] = -1
    return wide - zero.to(torch.float64).reshape(shape if x.ndim else [])


@operator("MatMulInteger")
def mat_mul_integer(
    call: Call, a: Tensor, b: Tensor, a_zero: Any = None, b_zero: Any = None
) -> Tensor:
    return torch.matmul(_whole(a, a_zero, -2), _whole(b, b_zero, -1)).to(torch.int32)


@operator("ConvInteger")
def conv_integer(
    call: Call, x: Tensor, w: Tensor, x_zero: Any = None, w_zero: Any = None
) -> Tensor:
    found: Tensor = conv(call, _whole(x, x_zero, 1), _whole(w, w_zero, 0))
    return found.to(torch.int32)


@operator("QLinearMatMul")
def quantised_mat_mul(
    call: Call,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    scale: Tensor,
    zero: Tensor,
) -> Tensor:
    if max(one.numel() for one in (a_scale, scale, zero)) > 1:
        raise call.refuse("its rows have scales of their own")
    product = torch.matmul(_whole(a, a_zero, -2), _whole(b, b_zero, -1))
    return _requantised(product * (a_scale * b_scale / scale).double(), zero)


@operator("QLinearConv")
def quantised_conv(
    call: Call,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    scale: Tensor,
    zero: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    sums = conv(call, _whole(x, x_zero, 1), _whole(w, w_zero, 0))
    channels = [1, -1, *[1] * (sums.ndim - 2)]
    if bias is not None:
        sums = sums + bias.to(torch.float64).reshape(channels)
    factor = (x_scale * w_scale / scale).double().reshape(-1)
    return _requantised(sums * (factor.reshape(channels) if len(factor) > 1 else factor), zero)


def _requantised(value: Tensor, zero: Tensor) -> Tensor:
    limits = torch.iinfo(zero.dtype)
    steps = torch.round(value) + zero.to(torch.float64)
    return steps.clamp(limits.min, limits.max).to(torch.int32).to(zero.dtype)
