"""Operators that move, join, pick or reduce values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.mxnet.operators import OPERATORS, Call, operator

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


REDUCTIONS: dict[str, Reduction] = {
    "sum": lambda x, axes, keep: x.sum(axes, keep),
    "sum_axis": lambda x, axes, keep: x.sum(axes, keep),
    "mean": lambda x, axes, keep: x.mean(axes, keep),
    "prod": _product,
    "max": lambda x, axes, keep: x.amax(axes, keep),
    "max_axis": lambda x, axes, keep: x.amax(axes, keep),
    "min": lambda x, axes, keep: x.amin(axes, keep),
    "min_axis": lambda x, axes, keep: x.amin(axes, keep),
}


def _axes(call: Call, x: Tensor) -> list[int]:
    """The axes to reduce."""
    found = call.get("axis")
    if found in (None, "None", ()):
        chosen = list(range(x.ndim))
    else:
        chosen = [axis % x.ndim for axis in (found if isinstance(found, tuple) else (found,))]
    if call.flag("exclude", False):
        return [axis for axis in range(x.ndim) if axis not in chosen]
    return chosen


def _reduce(step: Reduction, call: Call, x: Tensor) -> Tensor:
    return step(x, _axes(call, x), call.flag("keepdims", False))


for _kind, _step in REDUCTIONS.items():
    OPERATORS[_kind] = functools.partial(_reduce, _step)


@operator("norm")
def norm(call: Call, x: Tensor) -> Tensor:
    axes, keep = _axes(call, x), call.flag("keepdims", False)
    if call.get("ord", 2) == 1:
        return x.abs().sum(axes, keep)
    return x.square().sum(axes, keep).sqrt()


@operator("argmax", "argmin", "argmax_channel")
def arg(call: Call, x: Tensor) -> Tensor:
    axis = 1 if call.kind == "argmax_channel" else call.get("axis")
    step = torch.argmin if call.kind == "argmin" else torch.argmax
    if axis in (None, "None"):
        return step(x).to(x.dtype)
    return step(x, axis, keepdim=call.flag("keepdims", False)).to(x.dtype)


@operator("topk")
def top(call: Call, x: Tensor) -> Any:
    how, axis = call.get("ret_typ", "indices"), call.get("axis", -1)
    found = x.topk(call.get("k", 1), axis, largest=not call.flag("is_ascend", False))
    places = found.indices.to(x.dtype)
    answers = {"indices": places, "value": found.values, "both": (found.values, places)}
    if how not in answers:
        raise call.refuse(f"it gives '{how}'")
    return answers[how]


@operator("Flatten", "flatten")
def flatten(call: Call, x: Tensor) -> Tensor:
    return x.flatten(1)


@operator("Reshape", "reshape")
def reshape(call: Call, x: Tensor) -> Tensor:
    asked = call.get("shape")
    if not asked and isinstance(old := call.get("target_shape"), tuple | list):
        asked = [size or -1 for size in old]  # there 0 was what is left
        if call.flag("keep_highest", False):
            asked[0] = 0
    asked = (asked,) if isinstance(asked, int) else asked  # as Gluon exports "-1"
    if not isinstance(asked, tuple | list):
        raise call.refuse("it has no shape")
    if call.flag("reverse", False):
        raise call.refuse("it reads its shape from the end")
    return x.reshape(_sizes(call, list(x.shape), list(asked)))


def _sizes(call: Call, own: list[Any], asked: list[int]) -> list[Any]:
    """MXNet's codes: 0 keeps a size, -1 is what is left, -2 all others, -3 joins two, -4 splits."""
    found: list[Any] = []
    place = n = 0
    while n < len(asked):
        code = asked[n]
        if code == 0:
            found.append(own[place])
            place += 1
        elif code == -2:
            found += own[place:]
            place = len(own)
        elif code == -3:
            found.append(own[place] * own[place + 1])
            place += 2
        elif code == -4:
            first, second = asked[n + 1], asked[n + 2]
            first = own[place] // second if first == -1 else first
            second = own[place] // first if second == -1 else second
            found += [first, second]
            place, n = place + 1, n + 2
        else:
            found.append(code)
            place += 1
        n += 1
    return found


@operator("reshape_like")
def reshape_like(call: Call, x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(like.shape)


@operator("transpose")
def transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.get("axes") or list(range(x.ndim))[::-1])


@operator("SwapAxis", "swapaxes")
def swap(call: Call, x: Tensor) -> Tensor:
    return x.transpose(call.get("dim1", 0), call.get("dim2", 0))


@operator("expand_dims")
def expand_dims(call: Call, x: Tensor) -> Tensor:
    return x.unsqueeze(call.get("axis"))


@operator("squeeze")
def squeeze(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis")
    return x.squeeze() if axis in (None, "None") else x.squeeze(axis)


@operator("Concat", "concat")
def concat(call: Call, *values: Tensor) -> Tensor:
    return torch.cat(values, call.get("dim", 1))


@operator("stack")
def stack(call: Call, *values: Tensor) -> Tensor:
    return torch.stack(values, call.get("axis", 0))


@operator("SliceChannel", "split")
def split(call: Call, x: Tensor) -> Any:
    axis = call.get("axis", 1)
    parts = x.chunk(call.get("num_outputs"), axis)
    parts = [part.squeeze(axis) for part in parts] if call.flag("squeeze_axis", False) else parts
    return tuple(parts) if len(parts) > 1 else parts[0]


@operator("slice_axis")
def slice_axis(call: Call, x: Tensor) -> Tensor:
    return _cut(x, call.get("axis"), call.get("begin"), _end(call.get("end")), 1)


def _end(value: Any) -> Any:
    return None if value == "None" else value


def _cut(x: Tensor, axis: int, begin: Any, end: Any, step: int) -> Tensor:
    index: list[Any] = [slice(None)] * x.ndim
    index[axis] = slice(begin, end, step)
    return x[tuple(index)]


@operator("slice", "crop")
def cut(call: Call, x: Tensor) -> Tensor:
    begins, ends = call.get("begin"), call.get("end")
    steps = call.get("step") or (1,) * len(begins)
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=False)):
        step = step or 1
        if step < 0:
            raise call.refuse("it goes backwards")
        x = _cut(x, axis, _end(begin), _end(end), step)
    return x


@operator("slice_like")
def slice_like(call: Call, x: Tensor, like: Tensor) -> Tensor:
    axes = call.get("axes") or range(x.ndim)
    for axis in axes:
        x = x.narrow(axis, 0, like.shape[axis])
    return x


@operator("take")
def take(call: Call, x: Tensor, rows: Tensor) -> Tensor:
    axis, mode = call.get("axis", 0) % x.ndim, call.get("mode", "clip")
    rows = rows.long()
    count = x.shape[axis]
    rows = rows % count if mode == "wrap" else rows.clamp(0, count - 1)
    found = x.index_select(axis, rows.reshape(-1))
    return found.reshape([*x.shape[:axis], *rows.shape, *x.shape[axis + 1 :]])


@operator("pick")
def pick(call: Call, x: Tensor, rows: Tensor) -> Tensor:
    axis = call.get("axis", -1)
    keep = call.flag("keepdims", False)
    rows = rows.long()
    rows = rows if rows.ndim == x.ndim else rows.unsqueeze(axis)
    found = x.gather(axis, rows.clamp(0, x.shape[axis] - 1))
    return found if keep else found.squeeze(axis)


@operator("gather_nd")
def gather_nd(call: Call, x: Tensor, rows: Tensor) -> Tensor:
    return x[tuple(rows.long())]


@operator("one_hot")
def one_hot(call: Call, rows: Tensor) -> Tensor:
    on, off = float(call.get("on_value", 1.0)), float(call.get("off_value", 0.0))
    hit = rows.long().unsqueeze(-1) == torch.arange(call.get("depth"))
    return torch.where(hit, on, off)


@operator("tile")
def tile(call: Call, x: Tensor) -> Tensor:
    times = call.get("reps")
    return x.repeat([1] * (x.ndim - len(times)) + list(times))


@operator("repeat")
def repeat(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis")
    return x.repeat_interleave(call.get("repeats"), None if axis == "None" else axis)


@operator("reverse", "flip")
def flip(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis")
    return x.flip(axis if isinstance(axis, tuple) else (axis,))


@operator("Pad", "pad")
def pad(call: Call, x: Tensor) -> Tensor:
    widths, mode = call.get("pad_width"), call.get("mode")
    flat = [one for axis in reversed(range(x.ndim)) for one in widths[2 * axis : 2 * axis + 2]]
    if mode == "constant":
        return F.pad(x, flat, value=float(call.get("constant_value", 0.0)))
    while flat and flat[-2:] == [0, 0]:  # what follows takes padded dimensions alone
        flat = flat[:-2]
    return F.pad(x, flat, mode={"edge": "replicate", "reflect": "reflect"}[mode])


@operator("broadcast_to")
def broadcast_to(call: Call, x: Tensor) -> Tensor:
    asked = call.get("shape")
    return x.expand([own if size == 0 else size for own, size in zip(x.shape, asked, strict=True)])


@operator("broadcast_like")
def broadcast_like(call: Call, x: Tensor, like: Tensor) -> Tensor:
    if call.get("lhs_axes") not in (None, "None"):
        raise call.refuse("it broadcasts some axes only")
    return x.expand(like.shape)


@operator("broadcast_axis", "broadcast_axes")
def broadcast_axis(call: Call, x: Tensor) -> Tensor:
    axes, sizes = call.get("axis"), call.get("size")
    pairs = {axes: sizes} if isinstance(axes, int) else dict(zip(axes, sizes, strict=True))
    return x.expand([pairs.get(n, size) for n, size in enumerate(x.shape)])


@operator("dot")
def dot(call: Call, a: Tensor, b: Tensor) -> Tensor:
    a = a.T if call.flag("transpose_a", False) else a
    b = b.T if call.flag("transpose_b", False) else b
    if a.ndim == b.ndim == 2:
        return a @ b
    return torch.tensordot(a, b, dims=1)


@operator("batch_dot", "_linalg_gemm2", "linalg_gemm2")
def batch_dot(call: Call, a: Tensor, b: Tensor) -> Tensor:
    a = a.transpose(-1, -2) if call.flag("transpose_a", False) else a
    b = b.transpose(-1, -2) if call.flag("transpose_b", False) else b
    found = a @ b
    alpha = float(call.get("alpha", 1.0))
    return found if alpha == 1 else found * alpha


@operator("depth_to_space")
def depth_to_space(call: Call, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    block = call.get("block_size")
    parts = x.reshape(batch, block, block, channels // block**2, height, width)
    parts = parts.permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(batch, channels // block**2, height * block, width * block)


@operator("space_to_depth")
def space_to_depth(call: Call, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    block = call.get("block_size")
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    parts = parts.permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(batch, channels * block**2, height // block, width // block)


@operator("SequenceMask")
def sequence_mask(call: Call, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    if lengths is None or not call.flag("use_sequence_length", False):
        return x
    axis = call.get("axis", 0)
    steps = torch.arange(x.shape[axis])
    lives = steps[:, None] < lengths[None] if axis == 0 else steps[None] < lengths[:, None]
    lives = lives.reshape([*lives.shape, *[1] * (x.ndim - 2)])
    return torch.where(lives, x, float(call.get("value", 0.0)))


@operator("SequenceLast")
def sequence_last(call: Call, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    axis = call.get("axis", 0)
    if lengths is None or not call.flag("use_sequence_length", False):
        return x.select(axis, -1)
    steps = x if axis == 0 else x.transpose(0, 1)
    return steps[(lengths - 1).long(), torch.arange(steps.shape[1])]


@operator("SequenceReverse")
def sequence_reverse(call: Call, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    if lengths is not None and call.flag("use_sequence_length", False):
        raise call.refuse("its sequences have lengths")
    return x.flip(0)


@operator("_arange")
def span(call: Call) -> Tensor:
    stop = call.get("stop")
    start, step = float(call.get("start", 0.0)), float(call.get("step", 1.0))
    if stop in (None, "None"):
        start, stop = 0.0, start
    found = torch.arange(start, float(stop), step)
    return found.repeat_interleave(call.get("repeat", 1))


@operator("_zeros", "_ones", "_full")
def filled(call: Call) -> Any:
    asked = call.get("shape") or ()
    asked = [max(1, size) for size in (asked if isinstance(asked, tuple | list) else (asked,))]
    value = {"_zeros": 0.0, "_ones": 1.0}.get(call.kind, call.get("value"))
    return torch.full(asked, float(value))


@operator("_rnn_param_concat")
def joined(call: Call, *values: Tensor) -> Tensor:
    return torch.cat([value.flatten() for value in values])


@operator("shape_array")
def shape_array(call: Call, x: Tensor) -> Tensor:
    return torch.tensor(list(x.shape), dtype=torch.int64)


@operator("Crop")
def crop(call: Call, x: Tensor, like: Tensor | None = None) -> Tensor:
    height, width = like.shape[2:] if like is not None else call.get("h_w")
    top, left = call.get("offset") or (0, 0)
    if call.flag("center_crop", False):
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x.narrow(2, top, height).narrow(3, left, width)
