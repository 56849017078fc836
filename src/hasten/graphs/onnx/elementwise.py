"""Operators on every value by itself, with ONNX's broadcasting."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.module import number
from hasten.graphs.onnx import Call, operator
from hasten.graphs.onnx.kinds import torch_kind

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "BitwiseNot": torch.bitwise_not,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "HardSwish": F.hardswish,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}
WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64}
"""PyTorch stores these kinds and computes little with them."""


def computable(x: Tensor) -> Tensor:
    """In a kind that PyTorch computes with; ``uint64`` beyond ``int64`` is refused elsewhere."""
    if x.dtype is torch.uint64:
        return x.to(torch.int64)
    return x.to(WIDER[x.dtype]) if x.dtype in WIDER else x


@operator(*UNARY)
def unary(call: Call, x: Tensor) -> Tensor:
    return UNARY[call.kind](computable(x)).to(_unary_kind(call, x))


def _unary_kind(call: Call, x: Tensor) -> torch.dtype:
    return torch.bool if call.kind in {"IsNaN", "Not"} else x.dtype


@operator(*BINARY)
def binary(call: Call, a: Tensor, b: Tensor) -> Tensor:
    if call.opset < 7 and call.get("broadcast"):
        b = _aligned(a, b, call.get("axis", a.ndim - b.ndim))
    found = BINARY[call.kind](computable(a), computable(b))
    return found if found.dtype is torch.bool else found.to(a.dtype)


def _aligned(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """``b`` with its first dimension at ``axis`` of ``a``: broadcasting before operator set 7."""
    return b.reshape([*b.shape, *[1] * (a.ndim - axis - b.ndim)])


@operator("Div")
def div(call: Call, a: Tensor, b: Tensor) -> Tensor:
    if call.opset < 7 and call.get("broadcast"):
        b = _aligned(a, b, call.get("axis", a.ndim - b.ndim))
    if a.is_floating_point():
        return a / b
    return torch.div(computable(a), computable(b), rounding_mode="trunc").to(a.dtype)


@operator("Mod")
def mod(call: Call, a: Tensor, b: Tensor) -> Tensor:
    rest = torch.fmod if call.get("fmod", 0) else torch.remainder
    return rest(computable(a), computable(b)).to(a.dtype)


@operator("Pow")
def power(call: Call, a: Tensor, b: Tensor) -> Tensor:
    if call.opset < 7 and call.get("broadcast"):
        b = _aligned(a, b, call.get("axis", a.ndim - b.ndim))
    if not a.is_floating_point() and b.is_floating_point():
        return torch.pow(a.to(b.dtype), b).to(a.dtype)
    return torch.pow(computable(a), computable(b)).to(a.dtype)


@operator("BitShift")
def bit_shift(call: Call, a: Tensor, b: Tensor) -> Tensor:
    if a.dtype is torch.uint64:
        raise call.refuse("it shifts uint64")
    left = call.get("direction") == "LEFT"
    wide, by = a.to(torch.int64), b.to(torch.int64)
    bits = torch.iinfo(a.dtype).bits
    moved = (wide << by) & ((1 << bits) - 1) if left else wide >> by
    return moved.to(a.dtype)


@operator("Max", "Min", "Sum", "Mean")
def several(call: Call, *values: Tensor) -> Tensor:
    steps = {"Max": torch.maximum, "Min": torch.minimum}
    found = functools.reduce(steps.get(call.kind, torch.add), map(computable, values))
    if call.kind == "Mean":
        found = found / len(values)
    return found.to(values[0].dtype)


@operator("Where")
def where(call: Call, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


@operator("Clip", host=(1, 2))
def clip(call: Call, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    low = call.get("min") if low is None else _bound(low)
    high = call.get("max") if high is None else _bound(high)
    if low is None and high is None:
        return x
    # torch.clamp gives the upper bound where the two cross, as ONNX does.
    return torch.clamp(computable(x), low, high).to(x.dtype)


def _bound(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item() if not value.requires_grad else value.detach().item()
    return number(value)


@operator("IsInf")
def is_inf(call: Call, x: Tensor) -> Tensor:
    below, above = call.get("detect_negative", 1), call.get("detect_positive", 1)
    return (torch.isneginf(x) & bool(below)) | (torch.isposinf(x) & bool(above))


@operator("Cast")
def cast(call: Call, x: Tensor) -> Tensor:
    return converted(call, x, torch_kind(call, call.get("to")))


@operator("CastLike")
def cast_like(call: Call, x: Tensor, like: Tensor) -> Tensor:
    return converted(call, x, like.dtype)


def converted(call: Call, x: Tensor, kind: torch.dtype) -> Tensor:
    """To another kind of numbers; what lies outside it is undefined in ONNX as well."""
    if kind in {torch.uint16, torch.uint32, torch.uint64} and x.is_floating_point():
        x = x.to(torch.int64)
    return x.to(kind)


@operator("Identity", raw=True)
def identity(call: Call, x: Any) -> Any:
    return x


# --- activations ----------------------------------------------------------------------------------


@operator("LeakyRelu")
def leaky_relu(call: Call, x: Tensor) -> Tensor:
    return F.leaky_relu(x, call.get("alpha", 0.01))


@operator("Elu")
def elu(call: Call, x: Tensor) -> Tensor:
    return F.elu(x, call.get("alpha", 1.0))


@operator("Celu")
def celu(call: Call, x: Tensor) -> Tensor:
    return F.celu(x, call.get("alpha", 1.0))


@operator("Selu")
def selu(call: Call, x: Tensor) -> Tensor:
    alpha = call.get("alpha", 1.6732632423543772)
    gamma = call.get("gamma", 1.0507009873554805)
    return gamma * torch.where(x > 0, x, alpha * (torch.exp(x.clamp(max=0)) - 1))


@operator("Gelu")
def gelu(call: Call, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=call.get("approximate", "none"))


@operator("Swish")
def swish(call: Call, x: Tensor) -> Tensor:
    return x * torch.sigmoid(call.get("alpha", 1.0) * x)


@operator("PRelu", weights=(1,))
def prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    if call.opset < 7 and slope.ndim == 1 and slope.numel() > 1:
        slope = slope.reshape([-1, *[1] * (x.ndim - 2)])
    return torch.where(x < 0, x * slope, x)


@operator("ThresholdedRelu")
def thresholded_relu(call: Call, x: Tensor) -> Tensor:
    return torch.where(x > call.get("alpha", 1.0), x, torch.zeros_like(x))


@operator("HardSigmoid")
def hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return torch.clamp(x * call.get("alpha", 0.2) + call.get("beta", 0.5), 0, 1)


@operator("Shrink")
def shrink(call: Call, x: Tensor) -> Tensor:
    bias, edge = call.get("bias", 0.0), call.get("lambd", 0.5)
    kept = torch.where(x > edge, x - bias, torch.zeros_like(x))
    return torch.where(x < -edge, x + bias, kept).to(x.dtype)


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis", -1 if call.opset >= 13 else 1)
    if call.opset >= 13 or axis in (-1, x.ndim - 1):
        return _softmax(call.kind, x, axis)
    axis %= x.ndim
    flat = x.reshape([math.prod(x.shape[:axis]), -1])  # all dimensions from the axis on are one
    return _softmax(call.kind, flat, -1).reshape(x.shape)


def _softmax(kind: str, x: Tensor, axis: int) -> Tensor:
    if kind == "Softmax":
        return torch.softmax(x, axis)
    if kind == "LogSoftmax":
        return torch.log_softmax(x, axis)
    first = x.argmax(axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1)


@operator("Dropout", host=(1, 2))
def dropout(call: Call, x: Tensor, ratio: Any = None, training: Any = None) -> Any:
    """Nothing is dropped: a loaded model answers. ``training`` that was asked for is refused."""
    share = number(ratio) if ratio is not None else call.get("ratio", 0.5)
    if training is not None and number(training) and share:
        raise call.refuse("it drops values at random")
    if call.outputs < 2:
        return x
    return x, torch.ones_like(x, dtype=torch.bool)
