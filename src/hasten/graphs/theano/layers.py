"""Products, convolutions, pooling and normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.module import numbers, tensor, tensors
from hasten.graphs.theano.operators import (
    Call,
    operator,
    promoted,
)


@operator("Dot", "Dot22", "BatchedDot")
def dot(call: Call, a: Any, b: Any) -> Tensor:
    first, second = promoted(tensors([a, b]))
    if call.kind != "BatchedDot" and second.ndim > 2:
        return torch.tensordot(first, second, dims=([-1], [-2]))
    return first @ second


@operator("Blockwise")
def blockwise(call: Call, *values: Any) -> Any:
    core = call.get("core_op", {}).get("kind", "")
    if core not in ("Dot", "Dot22", "BatchedDot"):
        raise call.refuse(f"it applies {core} to every block")
    return torch.matmul(*promoted(tensors(values)))


@operator("Softmax", "LogSoftmax")
def softmax(call: Call, x: Any) -> Tensor:
    step: Any = torch.log_softmax if call.kind == "LogSoftmax" else torch.softmax
    x, axis = tensor(x), call.properties.get("axis", -1)
    if isinstance(axis, list) and len(axis) == 1:
        (axis,) = axis
    if axis is None or (isinstance(axis, list) and len(axis) == x.ndim):
        return step(x.reshape(-1), 0).reshape(x.shape)
    if not isinstance(axis, int):
        raise call.refuse(f"it is over the axes {axis}")
    return step(x, axis)


@operator("SoftmaxWithBias")
def softmax_with_bias(call: Call, x: Any, bias: Any) -> Tensor:
    return (tensor(x) + tensor(bias)).softmax(-1)


@operator("AbstractConv2d", "AbstractConv3d")
def convolution(call: Call, x: Any, weight: Any) -> Tensor:
    x, weight = tensor(x), tensor(weight)
    rank = weight.ndim - 2
    if call.get("unshared"):
        raise call.refuse("its weights are not shared between places")
    turned = call.get("filter_flip", True)
    weight = weight.flip(list(range(2, weight.ndim))) if turned else weight
    before, after = _border(call, call.get("border_mode", "valid"), weight.shape[2:], rank)
    if before != after:
        flat = [one for pair in reversed(list(zip(before, after, strict=True))) for one in pair]
        x, before = F.pad(x, flat), [0] * rank
    step: Any = F.conv2d if rank == 2 else F.conv3d
    stride = call.get("subsample", [1] * rank)
    apart, groups = call.get("filter_dilation", [1] * rank), call.get("num_groups", 1)
    found: Tensor = step(x, weight, None, stride, before, apart, groups)
    return found


def _border(call: Call, mode: Any, kernel: Sequence[int], rank: int) -> tuple[list[int], list[int]]:
    apart = call.get("filter_dilation", [1] * rank)
    reach = [(size - 1) * one + 1 for size, one in zip(kernel, apart, strict=True)]
    named = {
        "valid": [0] * rank,
        "half": [size // 2 for size in reach],
        "full": [size - 1 for size in reach],
    }
    if isinstance(mode, str):
        return named[mode], named[mode]
    mode = [mode] * rank if isinstance(mode, int) else mode
    pairs = [one if isinstance(one, list) else [one, one] for one in mode]
    return [one[0] for one in pairs], [one[1] for one in pairs]


@operator("Pool")
def pool(call: Call, x: Any, size: Any, stride: Any = None, pad: Any = None) -> Tensor:
    x, kernel = tensor(x), numbers(size)
    stride = numbers(stride) if stride is not None else kernel
    pad = numbers(pad) if pad is not None else [0] * len(kernel)
    up, mode = not call.get("ignore_border", True), call.get("mode", "max")
    if len(kernel) != 2:
        raise call.refuse(f"it pools over {len(kernel)} dimensions")
    flat = x.reshape([-1, 1, *x.shape[-2:]]) if x.ndim != 4 else x
    if mode == "max":
        found = F.max_pool2d(flat, kernel, stride, pad, ceil_mode=up)
    elif mode.startswith("average"):
        counted = mode == "average_inc_pad"
        found = F.avg_pool2d(flat, kernel, stride, pad, ceil_mode=up, count_include_pad=counted)
    else:
        found = F.avg_pool2d(flat, kernel, stride, pad, ceil_mode=up, divisor_override=1)
    return found.reshape([*x.shape[:-2], *found.shape[-2:]]) if x.ndim != 4 else found


@operator("AbstractBatchNormInference")
def batch_norm(call: Call, x: Any, *given: Any) -> Tensor:
    x, scale, shift, mean, variance, epsilon = tensors([x, *given])
    return (x - mean) * scale / (variance + epsilon).sqrt() + shift
