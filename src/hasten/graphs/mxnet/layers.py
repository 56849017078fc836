"""Layers with weights, normalisations, pooling and recurrent cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.mxnet.operators import Call, operator

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}
MAX: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
LAYOUTS = (None, "None", "NCW", "NCHW", "NCDHW")
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _kernel(call: Call) -> list[int]:
    kernel = call.get("kernel")
    kernel = list(kernel) if isinstance(kernel, tuple | list) else [kernel]
    if call.get("layout") not in LAYOUTS:
        raise call.refuse(f"its layout is {call.get('layout')}")
    if len(kernel) not in CONVOLUTIONS:
        raise call.refuse(f"it has {len(kernel)} spatial dimensions")
    return kernel


@operator("Convolution", "Convolution_v1")
def convolution(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = len(_kernel(call))
    bias = None if call.flag("no_bias", False) else bias
    settings = (
        call.sizes("stride", rank, 1),
        call.sizes("pad", rank, 0),
        call.sizes("dilate", rank, 1),
    )
    return CONVOLUTIONS[rank](x, weight, bias, *settings, call.get("num_group", 1))


@operator("Deconvolution")
def deconvolution(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    kernel = _kernel(call)
    rank = len(kernel)
    bias = None if call.flag("no_bias", True) else bias
    stride, apart = call.sizes("stride", rank, 1), call.sizes("dilate", rank, 1)
    pad, more = call.sizes("pad", rank, 0), call.sizes("adj", rank, 0)
    if call.get("target_shape") and any(call.sizes("target_shape", rank, 0)):
        raise call.refuse("its output has a shape that was asked for")
    return TRANSPOSED[rank](x, weight, bias, stride, pad, more, call.get("num_group", 1), apart)


@operator("FullyConnected")
def fully_connected(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x = x.flatten(1) if call.flag("flatten", True) else x
    return F.linear(x, weight, None if call.flag("no_bias", False) else bias)


@operator("Embedding")
def embedding(call: Call, x: Tensor, weight: Tensor) -> Tensor:
    return F.embedding(x.long(), weight)


@operator("BatchNorm", "BatchNorm_v1", "_contrib_SyncBatchNorm")
def batch_norm(
    call: Call, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    if call.get("axis", 1) != 1:
        raise call.refuse(f"its axis is {call.get('axis')}")
    scale = torch.ones_like(scale) if call.flag("fix_gamma", True) else scale
    frozen = mean.detach(), variance.detach()
    return F.batch_norm(x, *frozen, scale, shift, False, 0.0, float(call.get("eps", 1e-3)))


@operator("LayerNorm")
def layer_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    axis = call.get("axis", -1)
    if axis not in (-1, x.ndim - 1):
        raise call.refuse(f"its axis is {axis}")
    return F.layer_norm(x, [x.shape[-1]], scale, shift, float(call.get("eps", 1e-5)))


@operator("GroupNorm")
def group_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    groups, epsilon = call.get("num_groups", 1), float(call.get("eps", 1e-5))
    if len(scale) != x.shape[1]:  # one per group
        times = x.shape[1] // groups
        scale, shift = scale.repeat_interleave(times), shift.repeat_interleave(times)
    return F.group_norm(x, groups, scale, shift, epsilon)


@operator("InstanceNorm")
def instance_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.group_norm(x, x.shape[1], scale, shift, float(call.get("eps", 1e-3)))


@operator("L2Normalization")
def l2(call: Call, x: Tensor) -> Tensor:
    mode = call.get("mode", "instance")
    axes = {"instance": list(range(1, x.ndim)), "channel": [1], "spatial": list(range(2, x.ndim))}
    if mode not in axes:
        raise call.refuse(f"its mode is '{mode}'")
    return x / (x.square().sum(axes[mode], True) + float(call.get("eps", 1e-10))).sqrt()


@operator("LRN")
def local_response(call: Call, x: Tensor) -> Tensor:
    size, alpha = call.get("nsize"), float(call.get("alpha", 1e-4))
    return F.local_response_norm(
        x, size, alpha, float(call.get("beta", 0.75)), float(call.get("knorm", 2.0))
    )


@operator("Pooling", "Pooling_v1")
def pooling(call: Call, x: Tensor) -> Tensor:
    how, rank = call.get("pool_type", "max"), x.ndim - 2
    if how not in ("max", "avg", "sum") or call.get("layout") not in LAYOUTS:
        raise call.refuse(f"it pools by '{how}', or its layout is {call.get('layout')}")
    axes = list(range(2, x.ndim))
    if call.flag("global_pool", False):
        steps = {"max": x.amax, "avg": x.mean, "sum": x.sum}
        return steps[how](axes, True)
    kernel, stride = _kernel(call), call.sizes("stride", rank, 1)
    pad = call.sizes("pad", rank, 0)
    convention = call.get("pooling_convention", "valid")
    if convention not in ("valid", "full"):
        raise call.refuse(f"its convention is '{convention}'")
    up = convention == "full"
    apart = any(a < b for a, b in zip(kernel, stride, strict=True))
    if up and (apart or (max(pad) and any(b > 1 for b in stride))):
        _refuse_outside(call, x, kernel, stride, pad)
    if how == "max":
        return MAX[rank](x, kernel, stride, pad, ceil_mode=up)
    counted = call.flag("count_include_pad", True) or how == "sum"
    if how == "sum" and up:
        raise call.refuse("it sums windows that are not whole")
    found = AVERAGE[rank](x, kernel, stride, pad, ceil_mode=up, count_include_pad=counted)
    return found * torch.tensor(kernel).prod() if how == "sum" else found


def _refuse_outside(
    call: Call, x: Tensor, kernel: list[int], stride: list[int], pad: list[int]
) -> None:
    """MXNet keeps windows that begin behind the last pixel; PyTorch leaves them out."""
    for side, width, step, more in zip(x.shape[2:], kernel, stride, pad, strict=True):
        if not isinstance(side, int):
            raise call.refuse("its last window may begin outside. Give the size of its input")
        count = -(-(side + 2 * more - width) // step) + 1
        if (count - 1) * step >= side + more:
            raise call.refuse("its last window begins outside")


@operator("_contrib_AdaptiveAvgPooling2D")
def adaptive(call: Call, x: Tensor) -> Tensor:
    size = call.get("output_size", 1) or 1
    return F.adaptive_avg_pool2d(x, list(size) if isinstance(size, tuple) else size)


@operator("UpSampling")
def up_sampling(call: Call, x: Tensor, *others: Tensor) -> Tensor:
    if others or call.get("sample_type") != "nearest":
        raise call.refuse("it is learned, or has several inputs")
    times = call.get("scale")
    return F.interpolate(x, [side * times for side in x.shape[2:]], mode="nearest")


@operator("_contrib_BilinearResize2D")
def bilinear(call: Call, x: Tensor, *others: Tensor) -> Tensor:
    if others or call.get("mode", "size") not in ("size", "None", None):
        raise call.refuse(f"its mode is '{call.get('mode')}'")
    if call.get("scale_height"):
        factors = float(call.get("scale_height")), float(call.get("scale_width"))
        size = [int(side * one) for side, one in zip(x.shape[2:], factors, strict=True)]
    else:
        size = [call.get("height", 1), call.get("width", 1)]
    aligned = call.flag("align_corners", True)
    return F.interpolate(x, size, mode="bilinear", align_corners=aligned)


@operator("RNN")
def recurrent(call: Call, x: Tensor, weights: Tensor, *states: Any) -> tuple[Tensor, ...]:
    mode, width, layers = call.get("mode"), call.get("state_size"), call.get("num_layers")
    if mode not in GATES or call.get("projection_size") not in (None, "None"):
        raise call.refuse(f"its mode is '{mode}', or it projects its state")
    both = call.flag("bidirectional", False)
    sides = 2 if both else 1
    flat = _separate(weights, x.shape[2], width, layers, sides, GATES[mode])
    start = x.new_zeros([layers * sides, x.shape[1], width])
    given = [_state(call, one, start) for one in states] + [start, start]
    settings = (flat, True, layers, 0.0, False, both, False)
    if mode == "lstm":
        found = torch.lstm(x, given[:2], *settings)
        return tuple(found)
    cells = {"gru": torch.gru, "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu}
    step: Any = cells[mode]
    return tuple(step(x, given[0], *settings))


def _state(call: Call, value: Any, start: Tensor) -> Tensor:
    """A first state; one that was made for a batch of 1 is that of every sample."""
    if isinstance(value, Tensor) and value.shape[1] == 1:
        return value.expand(-1, start.shape[1], -1)
    if isinstance(value, Tensor) and value.shape[1] == start.shape[1]:
        return value
    if isinstance(value, Tensor) and bool((value != 0).any()):
        raise call.refuse("its first state has another batch than its input")
    return start


def _separate(
    weights: Tensor, features: Any, width: int, layers: int, sides: int, gates: int
) -> list[Tensor]:
    """MXNet keeps all matrices first, then all biases, in one vector; PyTorch layer by layer."""
    place, matrices, biases = 0, [], []
    for layer in range(layers):
        inputs = features if layer == 0 else width * sides
        for _ in range(sides):
            pair = []
            for columns in (inputs, width):
                size = gates * width * columns
                pair.append(weights[place : place + size].reshape(gates * width, columns))
                place += size
            matrices.append(pair)
    for _ in range(layers * sides):
        size = gates * width
        biases.append([weights[place : place + size], weights[place + size : place + 2 * size]])
        place += 2 * size
    return [one for pair in zip(matrices, biases, strict=True) for part in pair for one in part]
