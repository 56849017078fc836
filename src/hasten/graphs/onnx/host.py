"""Operators on numbers that describe shapes, computed with NumPy.

A host array holds integers, truth values, or fractions that were made from them (the factors of a
Resize); of dtype ``object`` where a symbol of ``torch.export`` is among them, which NumPy adds and
multiplies like any Python object. A function gives ``None`` where the tensors' own has to do it:
for large results, and for what symbols cannot do.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hasten.graphs.module import numbers, plain
from hasten.graphs.onnx import Call

INTEGERS = (6, 7)
"""ONNX's numbers of int32 and int64: what a symbol can be."""
MOST = 4096
"""Values of a host array; more than that is data."""

Host = Any


def computed(call: Call, values: Sequence[Any]) -> Any:
    """What an operator gives on the host, or ``None`` where tensors have to be computed."""
    given = [value for value in values if value is not None]
    if not given or any(value.dtype.kind not in "iubfO" or value.size > MOST for value in given):
        return None
    try:
        found = FUNCTIONS[call.kind](call, *values)
    except _Left:
        return None
    if isinstance(found, tuple):
        return tuple(plain(np.asarray(one)) for one in found)
    found = plain(np.asarray(found))
    return found if found.size <= MOST else None


class _Left(Exception):
    """It is left to tensors."""


def _kept(array: Any, like: np.ndarray) -> np.ndarray:
    """In the kind of an operand, where no symbol is in it."""
    array = plain(np.asarray(array))
    if array.dtype == object and like.dtype.kind == "f" and not symbols(array):
        return array.astype(like.dtype)
    return array if object in (array.dtype, like.dtype) else array.astype(like.dtype)


def symbols(array: np.ndarray) -> bool:
    """Whether a symbol of ``torch.export`` is among the values."""
    return any(not isinstance(one, int | float | np.generic) for one in array.flat)


def _decided(value: Any) -> bool:
    """A truth that does not depend on how large a free dimension is; others are left to tensors,
    lest the exported graph has the size at which it was traced."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    import torch
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    if statically_known_true(value):
        return True
    if statically_known_true(torch.sym_not(value)):
        return False
    raise _Left


def _larger(a: Any, b: Any) -> Any:
    import torch

    plain_ones = isinstance(a, int | float) and isinstance(b, int | float)
    return max(a, b) if plain_ones else torch.sym_max(a, b)


def _smaller(a: Any, b: Any) -> Any:
    import torch

    plain_ones = isinstance(a, int | float) and isinstance(b, int | float)
    return min(a, b) if plain_ones else torch.sym_min(a, b)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Host]:
    def both(call: Call, a: np.ndarray, b: np.ndarray) -> Host:
        return _kept(function(a, b), a)

    return both


def _compared(function: Callable[[Any, Any], Any]) -> Callable[..., Host]:
    def both(call: Call, a: np.ndarray, b: np.ndarray) -> Host:
        found = np.frompyfunc(lambda one, other: _decided(function(one, other)), 2, 1)(a, b)
        return np.asarray(found).astype(bool)

    return both


def _div(call: Call, a: np.ndarray, b: np.ndarray) -> Host:
    if object in (a.dtype, b.dtype):
        if "f" in (a.dtype.kind, b.dtype.kind):
            raise _Left
        return np.frompyfunc(_divided, 2, 1)(a, b)
    if a.dtype.kind == "f":
        return _kept(a / b, a)
    if not np.all(b):
        raise _Left
    return _kept(np.trunc(a / b) if max(abs(a).max(), 0) < 1 << 50 else a // b, a)


def _divided(a: Any, b: Any) -> Any:
    """Towards zero; what a symbol stands for must be known not to be negative."""
    if isinstance(a, int) and isinstance(b, int):
        if b == 0:
            raise _Left
        return a // b if (a >= 0) == (b > 0) else -(-a // b)
    if not (_decided(a >= 0) and _decided(b > 0)):
        raise _Left
    return a // b


def _mod(call: Call, a: np.ndarray, b: np.ndarray) -> Host:
    if "f" in (a.dtype.kind, b.dtype.kind):
        raise _Left
    if call.get("fmod", 0) or (b.dtype != object and not np.all(b)):
        raise _Left
    return _kept(a % b, a)


def _pick(function: Callable[[Any, Any], Any]) -> Callable[..., Host]:
    def several(call: Call, *values: np.ndarray) -> Host:
        found = values[0]
        for value in values[1:]:
            found = np.asarray(np.frompyfunc(function, 2, 1)(found, value))
        return _kept(found, values[0])

    return several


def _where(call: Call, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> Host:
    choose = np.frompyfunc(lambda c, x, y: x if _decided(c) else y, 3, 1)
    return _kept(choose(condition, a, b), a)


def _gather(call: Call, x: np.ndarray, rows: np.ndarray) -> Host:
    if rows.dtype == object:
        raise _Left
    return np.take(x, rows, axis=call.get("axis", 0))


def _concat(call: Call, *values: np.ndarray) -> Host:
    return np.concatenate(values, axis=call.get("axis", 0))


def _slice(call: Call, x: np.ndarray, *given: np.ndarray) -> Host:
    starts, ends, axes, steps = slices(call, x.ndim, given)
    found = x
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not all(isinstance(one, int) for one in (start, end, step)):
            raise _Left
        index: list[Any] = [slice(None)] * x.ndim
        size = x.shape[axis]
        start = max(start, -size) if step < 0 else start
        index[axis] = slice(start, _end(end, size, step), step)
        found = found[tuple(index)]
    return found


def _end(end: int, size: int, step: int) -> int | None:
    """Where Python's slice ends: going backwards ``-size - 1`` is before the first value."""
    return None if step < 0 and end < -size else end


def slices(
    call: Call, rank: int, given: Sequence[Any]
) -> tuple[list[Any], list[Any], list[int], list[Any]]:
    """Starts, ends, axes and steps of a Slice: inputs, or attributes before operator set 10."""
    if "starts" in call.attributes:
        starts, ends = call.attributes["starts"], call.attributes["ends"]
        axes = call.get("axes", range(len(starts)))
        steps: Any = [1] * len(starts)
    else:
        starts, ends = numbers(given[0]), numbers(given[1])
        axes = numbers(given[2]) if len(given) > 2 and given[2] is not None else range(len(starts))
        steps = numbers(given[3]) if len(given) > 3 and given[3] is not None else [1] * len(starts)
    return list(starts), list(ends), [axis % rank for axis in axes], list(steps)


def axes_of(call: Call, given: Any) -> list[int] | None:
    """The axes of an operator that has them as an attribute, or later as an input."""
    if "axes" in call.attributes:
        return list(call.attributes["axes"])
    return None if given is None else [int(axis) for axis in numbers(given)]


def _unsqueeze(call: Call, x: np.ndarray, axes: Any = None) -> Host:
    return np.expand_dims(x, tuple(axes_of(call, axes) or ()))


def _squeeze(call: Call, x: np.ndarray, axes: Any = None) -> Host:
    wanted = axes_of(call, axes)
    return np.squeeze(x, tuple(wanted) if wanted is not None else None)


def _cast(call: Call, x: np.ndarray) -> Host:
    from hasten.graphs.onnx.kinds import FRACTIONS, WHOLE

    kinds = {**WHOLE, **FRACTIONS}
    if call.get("to") not in kinds or (x.dtype == object and call.get("to") in FRACTIONS):
        raise _Left
    if x.dtype == object:
        if call.get("to") not in INTEGERS:
            raise _Left
        return np.frompyfunc(lambda one: int(one) if isinstance(one, float) else one, 1, 1)(x)
    return x.astype(kinds[call.get("to")])


def _fraction(function: Callable[[Any], Any]) -> Callable[..., Host]:
    def one(call: Call, x: np.ndarray) -> Host:
        if x.dtype.kind != "f":
            raise _Left
        return np.asarray(function(x)).astype(x.dtype)

    return one


def _reshape(call: Call, x: np.ndarray, shape: np.ndarray) -> Host:
    if shape.dtype == object:
        raise _Left
    sizes = [x.shape[n] if size == 0 and not call.get("allowzero", 0) else size
             for n, size in enumerate(shape.tolist())]  # fmt: skip
    return x.reshape(sizes)


def _reduced(function: Callable[[Any, Any], Any], first: Any) -> Callable[..., Host]:
    def reduce(call: Call, x: np.ndarray, axes: Any = None) -> Host:
        if x.ndim != 1 or (first is None and not x.size):
            raise _Left
        wanted = axes_of(call, axes)
        if not wanted and call.get("noop_with_empty_axes", 0):
            raise _Left
        left = x.tolist()
        value = left.pop(0) if first is None else first
        for one in left:
            value = function(value, one)
        found = np.empty(1 if call.get("keepdims", 1) else (), dtype=object)
        found[...] = value
        return _kept(found, x)

    return reduce


def _range(call: Call, start: np.ndarray, end: np.ndarray, step: np.ndarray) -> Host:
    if object in (start.dtype, end.dtype, step.dtype) or start.dtype.kind == "f":
        raise _Left
    if abs(int(end) - int(start)) > MOST * abs(int(step)):
        raise _Left
    return np.arange(int(start), int(end), int(step), dtype=start.dtype)


def _constant_of_shape(call: Call, shape: np.ndarray) -> Host:
    value = call.get("value")  # fractions are data
    if shape.dtype == object or value is None or value.dtype.kind not in "iub":
        raise _Left
    if np.prod(shape, dtype=float) > MOST:
        raise _Left
    return np.full(shape.tolist(), value.flatten()[0], value.dtype)


def _expand(call: Call, x: np.ndarray, shape: np.ndarray) -> Host:
    if shape.dtype == object or np.prod(shape, dtype=float) * max(1, x.size) > MOST:
        raise _Left
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _transpose(call: Call, x: np.ndarray) -> Host:
    return np.transpose(x, call.get("perm"))


def _split(call: Call, x: np.ndarray, sizes: Any = None) -> Host:
    axis = call.get("axis", 0)
    wanted = call.get("split") or (numbers(sizes) if sizes is not None else None)
    if wanted is None:
        count = call.get("num_outputs", call.outputs)
        each = -(-x.shape[axis] // count)
        wanted = [each] * (count - 1)
        wanted.append(x.shape[axis] - sum(wanted))
    return tuple(np.split(x, np.cumsum(wanted)[:-1], axis=axis))


def _size(call: Call, x: np.ndarray) -> Host:
    return np.array(x.size, dtype=np.int64)


FUNCTIONS: dict[str, Callable[..., Host]] = {
    "Add": _binary(operator.add),
    "And": _compared(lambda a, b: a and b),
    "Cast": _cast,
    "Ceil": _fraction(np.ceil),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _div,
    "Equal": _compared(operator.eq),
    "Expand": _expand,
    "Floor": _fraction(np.floor),
    "Gather": _gather,
    "Greater": _compared(operator.gt),
    "GreaterOrEqual": _compared(operator.ge),
    "Identity": lambda call, x: x,
    "Less": _compared(operator.lt),
    "LessOrEqual": _compared(operator.le),
    "Max": _pick(_larger),
    "Min": _pick(_smaller),
    "Mod": _mod,
    "Mul": _binary(operator.mul),
    "Neg": lambda call, x: -x,
    "Not": lambda call, x: np.logical_not(x),
    "Or": _compared(lambda a, b: a or b),
    "Range": _range,
    "ReduceMax": _reduced(_larger, None),
    "ReduceMin": _reduced(_smaller, None),
    "ReduceProd": _reduced(operator.mul, 1),
    "ReduceSum": _reduced(operator.add, 0),
    "Reshape": _reshape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Sqrt": _fraction(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(operator.sub),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
