"""Convolutions and normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.onnx import Call, operator

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def padding(
    call: Call, sizes: Sequence[Any], kernel: Sequence[int], strides: Any, dilations: Any
) -> tuple[list[Any], list[Any]]:
    """Padding before and after every spatial dimension."""
    rank, mode = len(kernel), call.get("auto_pad", "NOTSET")
    if mode == "VALID":
        return [0] * rank, [0] * rank
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        before, after = [], []
        for size, width, stride, apart in zip(sizes, kernel, strides, dilations, strict=True):
            need = (-(-size // stride) - 1) * stride + (width - 1) * apart + 1 - size
            need = torch.sym_max(need, 0)
            less = need // 2
            before.append(less if mode == "SAME_UPPER" else need - less)
            after.append(need - less if mode == "SAME_UPPER" else less)
        return before, after
    pads = call.get("pads", [0] * (2 * rank))
    return list(pads[:rank]), list(pads[rank:])


def padded(x: Tensor, before: Sequence[Any], after: Sequence[Any], value: float = 0.0) -> Tensor:
    """``x`` with values around its spatial dimensions."""
    flat = [one for pair in reversed(list(zip(before, after, strict=True))) for one in pair]
    return F.pad(x, flat, value=value)


def alike(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Whether both ends are padded alike, whatever the free sizes are."""
    return all(isinstance(one, int) for one in (*before, *after)) and before == after


def spatial(call: Call, name: str, rank: int, default: int = 1) -> list[int]:
    """An attribute with one number per spatial dimension."""
    return list(call.get(name, [default] * rank))


@operator("Conv", weights=(1, 2))
def conv(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = weight.ndim - 2
    if rank not in CONVOLUTIONS:
        raise call.refuse(f"it has {rank} spatial dimensions")
    strides, apart = spatial(call, "strides", rank), spatial(call, "dilations", rank)
    before, after = padding(call, x.shape[2:], weight.shape[2:], strides, apart)
    if not alike(before, after):
        x, before = padded(x, before, after), [0] * rank
    step: Any = CONVOLUTIONS[rank]
    found: Tensor = step(x, weight, bias, strides, before, apart, call.get("group", 1))
    return found


@operator("ConvTranspose", weights=(1, 2))
def conv_transpose(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = weight.ndim - 2
    if rank not in TRANSPOSED:
        raise call.refuse(f"it has {rank} spatial dimensions")
    strides, apart = spatial(call, "strides", rank), spatial(call, "dilations", rank)
    more = spatial(call, "output_padding", rank, 0)
    full = [
        (size - 1) * stride + more[n] + (weight.shape[2 + n] - 1) * apart[n] + 1
        for n, (size, stride) in enumerate(zip(x.shape[2:], strides, strict=True))
    ]
    before, after = _cut_away(call, x, full, strides)
    step: Any = TRANSPOSED[rank]
    group = call.get("group", 1)
    if (
        before == after
        and all(a >= b for a, b in zip(strides, more, strict=True))
        and not any(a <= b for a, b in zip(strides, more, strict=True))
    ):
        found: Tensor = step(x, weight, bias, strides, before, more, group, apart)
        return found
    found = step(x, weight, bias, strides, 0, 0, group, apart)
    for n in range(rank):
        length = full[n] - before[n] - after[n]
        lacking = before[n] + length - found.shape[2 + n]
        if isinstance(lacking, int) and lacking > 0:  # output padding beyond what was computed
            ends = [0] * rank
            ends[n] = lacking
            filler = padded(found, [0] * rank, ends)
            if bias is not None:
                whole = torch.zeros_like(filler) + bias.reshape([-1, *[1] * rank])
                inside = padded(torch.ones_like(found[:1, :1]), [0] * rank, ends)
                filler = torch.where(inside > 0, filler, whole)
            found = filler
        found = found.narrow(2 + n, before[n], length)
    return found


def _cut_away(
    call: Call, x: Tensor, full: list[Any], strides: list[int]
) -> tuple[list[Any], list[Any]]:
    """What a transposed convolution leaves out at both ends."""
    rank, wanted = len(full), call.get("output_shape")
    mode = call.get("auto_pad", "NOTSET")
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if wanted is None:
        pads = call.get("pads", [0] * (2 * rank))
        return list(pads[:rank]), list(pads[rank:])
    total = [have - want for have, want in zip(full, wanted, strict=True)]
    if call.opset < 11 and any(one % 2 for one in total):
        raise call.refuse(
            "its padding is odd, and before operator set 11 texts and runtimes differ"
        )
    less = [one // 2 for one in total]
    more = [one - half for one, half in zip(total, less, strict=True)]
    # Here it is the lower end that gets the larger half unless SAME_UPPER is asked for.
    return (less, more) if mode == "SAME_UPPER" else (more, less)


@operator("BatchNormalization", weights=(1, 2, 3, 4))
def batch_norm(
    call: Call, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Any:
    epsilon = call.get("epsilon", 1e-5)
    if call.opset < 14 and call.outputs > 1:
        raise call.refuse("it is in training mode, as its further outputs say")
    if call.get("training_mode", 0):
        return _batch_norm_in_training(call, x, scale, shift, mean, variance)
    if call.get("spatial", 1) == 0 and x.ndim > 2:
        raise call.refuse("its statistics are per pixel")
    frozen = mean.detach(), variance.detach()
    return F.batch_norm(x, *frozen, scale, shift, False, 0.0, epsilon)


def _batch_norm_in_training(
    call: Call, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Any:
    axes = [n for n in range(x.ndim) if n != 1]
    now, spread = x.mean(axes), x.var(axes, correction=0)
    kept = call.get("momentum", 0.9)
    out = F.batch_norm(x, now, spread, scale, shift, False, 0.0, call.get("epsilon", 1e-5))
    return out, mean * kept + now * (1 - kept), variance * kept + spread * (1 - kept)


@operator("LayerNormalization", weights=(1, 2))
def layer_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Any:
    axis, epsilon = call.get("axis", -1) % x.ndim, call.get("epsilon", 1e-5)
    if call.outputs == 1 and tuple(scale.shape) == tuple(x.shape[axis:]):
        return F.layer_norm(x, list(x.shape[axis:]), scale, shift, epsilon)
    axes = list(range(axis, x.ndim))
    mean = x.mean(axes, True)
    inverse = (x - mean).square().mean(axes, True).add(epsilon).rsqrt()
    out = (x - mean) * inverse * scale
    return (out if shift is None else out + shift), mean, inverse


@operator("RMSNormalization", weights=(1,))
def rms_norm(call: Call, x: Tensor, scale: Tensor) -> Tensor:
    axes = list(range(call.get("axis", -1) % x.ndim, x.ndim))
    return x * x.square().mean(axes, True).add(call.get("epsilon", 1e-5)).rsqrt() * scale


@operator("InstanceNormalization", weights=(1, 2))
def instance_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.group_norm(x, x.shape[1], scale, shift, call.get("epsilon", 1e-5))


@operator("GroupNormalization", weights=(1, 2))
def group_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    groups, epsilon = call.get("num_groups"), call.get("epsilon", 1e-5)
    if call.opset < 21:  # there a scale per group
        times = x.shape[1] // groups
        scale, shift = scale.repeat_interleave(times), shift.repeat_interleave(times)
    return F.group_norm(x, groups, scale, shift, epsilon)


@operator("LRN")
def local_response(call: Call, x: Tensor) -> Tensor:
    size = call.get("size")
    alpha, beta, bias = call.get("alpha", 1e-4), call.get("beta", 0.75), call.get("bias", 1.0)
    squares = x.square().flatten(2).unsqueeze(1)
    less = (size - 1) // 2
    squares = F.pad(squares, [0, 0, less, size - 1 - less])
    sums = F.avg_pool2d(squares, (size, 1), 1) * size
    sums = sums.squeeze(1).reshape(x.shape)
    return x / (bias + alpha / size * sums) ** beta


@operator("LpNormalization")
def lp_norm(call: Call, x: Tensor) -> Tensor:
    axis, p = call.get("axis", -1), call.get("p", 2)
    norm = x.abs().sum(axis, True) if p == 1 else x.square().sum(axis, True).sqrt()
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


@operator("MeanVarianceNormalization")
def mean_variance(call: Call, x: Tensor) -> Tensor:
    axes = call.get("axes", [0, 2, 3])
    centred = x - x.mean(axes, True)
    return centred / (centred.square().mean(axes, True).sqrt() + 1e-9)


@operator("Attention")
def attention(call: Call, *values: Any) -> Any:
    """The plain case: queries, keys and values, a mask, no cache."""
    query, key, value, *rest = values
    mask, extra = (rest[0] if rest else None), rest[1:]
    if any(one is not None for one in extra) or call.outputs > 1:
        raise call.refuse("it has a cache, or gives its scores")
    if max(call.get("left_window_size", -1), call.get("right_window_size", -1)) >= 0:
        raise call.refuse("it looks at a window of keys")
    if call.get("softcap", 0.0) or call.get("qk_matmul_output_mode", 0):
        raise call.refuse("its scores are capped or given")
    flat = query.ndim == 3
    if flat:
        heads, shared = call.get("q_num_heads"), call.get("kv_num_heads")
        query, key, value = (
            one.unflatten(-1, (count, -1)).transpose(1, 2)
            for one, count in ((query, heads), (key, shared), (value, shared))
        )
    times = query.shape[1] // key.shape[1]
    if times > 1:
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    found = F.scaled_dot_product_attention(
        query,
        key,
        value,
        mask,
        is_causal=bool(call.get("is_causal", 0)),
        scale=call.get("scale", 1 / math.sqrt(query.shape[-1])),
    )
    return found.transpose(1, 2).flatten(2) if flat else found
