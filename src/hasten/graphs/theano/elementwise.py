"""Operators on every value, reductions, and values moved about."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hasten.graphs.module import host, number, numbers, on_host, plain, tensor, tensors
from hasten.graphs.theano.operators import (
    KINDS,
    SCALARS,
    WHOLE,
    Call,
    kind_of,
    operator,
    promoted,
)
from hasten.graphs.theano.scalars import HOST, TENSORS


@operator("Elemwise")
def elemwise(call: Call, *values: Any) -> Any:
    scalar = call.get("scalar_op", {})
    if "cast" in scalar:
        return _cast(call, values[0], scalar["cast"])
    name = scalar.get("kind", "")
    if all(on_host(v) and v.dtype.kind in "iubO" for v in values) and name in HOST:
        found = np.asarray(np.frompyfunc(HOST[name], len(values), 1)(*values), dtype=object)
        return plain(found)
    if name not in TENSORS:
        raise call.refuse(f"it applies {name} to every value")
    given = promoted(tensors(values))
    found = TENSORS[name](*given)
    return found if found.dtype is torch.bool else found.to(kind_of(call))


def _cast(call: Call, value: Any, kind: str) -> Any:
    if on_host(value) and kind.startswith(("int", "uint", "bool")):
        return value if value.dtype == object else value.astype(kind)
    if kind not in KINDS:
        raise call.refuse(f"it gives {kind}")
    return tensor(value).to(KINDS[kind])


@operator("TensorFromScalar", "ScalarFromTensor", "Rebroadcast", "SpecifyShape", "Unbroadcast")
def same(call: Call, value: Any, *rest: Any) -> Any:
    return value


@operator("DeepCopyOp", "ViewOp", "DisconnectedGrad", "ZeroGrad", "GpuFromHost", "HostFromGpu")
def copied(call: Call, value: Any) -> Any:
    return value


@operator("DimShuffle")
def dim_shuffle(call: Call, x: Any) -> Any:
    order = call.get("new_order")
    axes = [axis for axis in order if axis != "x"]
    gone = [axis for axis in range(x.ndim) if axis not in axes]
    turned = x.transpose([*axes, *gone]) if on_host(x) else x.permute([*axes, *gone])
    for _ in gone:
        turned = turned[..., 0]
    for place, axis in enumerate(order):
        if axis == "x":
            turned = np.expand_dims(turned, place) if on_host(x) else turned.unsqueeze(place)
    return turned


@operator("Shape")
def shape(call: Call, x: Any) -> np.ndarray:
    return host(list(x.shape))


@operator("Shape_i")
def shape_i(call: Call, x: Any) -> np.ndarray:
    return host([x.shape[call.get("i")]]).reshape(())


@operator("MakeVector")
def make_vector(call: Call, *values: Any) -> Any:
    if all(on_host(value) and value.dtype.kind in WHOLE for value in values):
        return host([number(value) for value in values])
    return torch.stack([one.reshape(()) for one in promoted(tensors(values))])


@operator("Reshape")
def reshape(call: Call, x: Any, sizes: Any) -> Any:
    wanted = numbers(sizes)
    if on_host(x) and not any(isinstance(one, torch.SymInt) for one in wanted):
        return x.reshape([int(one) for one in wanted])
    return tensor(x).reshape(wanted)


@operator("Flatten")
def flatten(call: Call, x: Any) -> Any:
    rank = call.get("ndim", call.get("outdim", 1))
    rank = 1 if not isinstance(rank, int) else rank
    return tensor(x).flatten(rank - 1) if x.ndim else tensor(x).reshape(1)


@operator("Join")
def join(call: Call, *values: Any) -> Any:
    along = call.properties.get("axis")  # newer ones know it, older ones are given it
    if not isinstance(along, int):
        along, values = int(number(values[0])), values[1:]
    if all(on_host(value) for value in values):
        return np.concatenate(values, along)
    return torch.cat(promoted(tensors(values)), along)


@operator("Split")
def split(call: Call, x: Any, *rest: Any) -> Any:
    along, sizes = call.properties.get("axis"), rest[-1]
    along = along if isinstance(along, int) else int(number(rest[0]))
    return tuple(tensor(x).split([int(one) for one in numbers(sizes)], along))


@operator("Alloc")
def alloc(call: Call, value: Any, *sizes: Any) -> Any:
    return tensor(value).expand([number(size) for size in sizes])


@operator("AllocEmpty")
def alloc_empty(call: Call, *sizes: Any) -> Tensor:
    return torch.zeros([number(size) for size in sizes], dtype=kind_of(call))


@operator("ARange")
def span(call: Call, start: Any, stop: Any, step: Any) -> Any:
    first, last, by = number(start), number(stop), number(step)
    if all(isinstance(one, int) for one in (first, last, by)):
        return np.arange(first, last, by, dtype=np.int64)
    return torch.arange(first, last, by, dtype=kind_of(call))


@operator("Eye")
def eye(call: Call, rows: Any, columns: Any, shift: Any) -> Tensor:
    down = torch.arange(number(rows))[:, None] + number(shift)
    return (down == torch.arange(number(columns))[None]).to(kind_of(call))


@operator("Repeat")
def repeat(call: Call, x: Any, times: Any) -> Tensor:
    each = tensor(times).reshape(-1).long()
    return tensor(x).repeat_interleave(
        int(each) if each.numel() == 1 else each, call.properties.get("axis")
    )


def _axes(call: Call, rank: int) -> list[int]:
    axes = call.get("axis")
    if axes is None:
        return list(range(rank))
    return [axes] if isinstance(axes, int) else list(axes)


@operator("Sum", "Max", "Min", "Prod", "Mean", "All", "Any", "CAReduce", "CAReduceDtype")
def reduce(call: Call, x: Any) -> Any:
    kind = call.kind
    if kind.startswith("CAReduce"):
        kind = SCALARS.get(call.get("scalar_op", {}).get("kind", ""), "?")
    if on_host(x) and x.dtype.kind in WHOLE and x.ndim == 1 and kind in ("Prod", "Sum"):
        found = math.prod(numbers(x)) if kind == "Prod" else sum(numbers(x))
        return host([found]).reshape(())
    x = tensor(x)
    axes = _axes(call, x.ndim)
    if not axes:
        return x
    if kind == "Prod":
        for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
            x = x.prod(axis)
        return x
    steps = {"Sum": x.sum, "Max": x.amax, "Min": x.amin, "Mean": x.mean}
    if kind in steps:
        return steps[kind](axes).to(kind_of(call))
    if kind in ("All", "Any"):
        hits = (x != 0).sum(axes)
        return hits == math.prod(x.shape[axis] for axis in axes) if kind == "All" else hits > 0
    raise call.refuse("it reduces by an operator that is not known")


@operator("Argmax")
def argmax(call: Call, x: Any) -> Tensor:
    return _argmax(call, tensor(x))


def _argmax(call: Call, x: Tensor) -> Tensor:
    axes = _axes(call, x.ndim)
    if len(axes) == x.ndim:
        return x.argmax()
    if len(axes) == 1:
        return x.argmax(axes[0])
    # Over several axes a place counts along them in their order.
    behind = [x.ndim - len(axes) + n for n in range(len(axes))]
    return x.movedim(sorted(axis % x.ndim for axis in axes), behind).flatten(behind[0]).argmax(-1)


@operator("MaxAndArgmax")
def max_and_argmax(call: Call, x: Any, *rest: Any) -> tuple[Tensor, Tensor]:
    x = tensor(x)
    return x.amax(_axes(call, x.ndim)), _argmax(call, x)


@operator("CumOp")
def cumulative(call: Call, x: Any) -> Tensor:
    x, axis = tensor(x), call.get("axis")
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return x.cumsum(axis) if call.get("mode", "add") == "add" else x.cumprod(axis)
