"""If, Loop and Scan, and sequences of tensors.

A branch is chosen and a loop unrolled while the graph runs, so ``torch.export`` captures one way
through it: where the way depends on values it says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hasten.graphs.module import number, tensor
from hasten.graphs.onnx import Call, operator


def _outer(call: Call, values: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The operator's own inputs, and by name what its graphs take from outside."""
    own = len(values) - len(call.captured)
    return values[:own], dict(zip(call.captured, values[own:], strict=True))


@operator("If", raw=True)
def choose(call: Call, *values: Any) -> tuple[Any, ...]:
    (condition,), outer = _outer(call, values)
    branch = "then_branch" if bool(number(condition)) else "else_branch"
    return tuple(call.inner[branch].run(outer))


@operator("Loop", raw=True)
def loop(call: Call, *values: Any) -> tuple[Any, ...]:
    (most, condition, *carried), outer = _outer(call, values)
    body = call.inner["body"]
    limit = int(number(most)) if most is not None else None
    goes = bool(number(condition)) if condition is not None else True
    scanned: list[list[Tensor]] = [[] for _ in range(len(body.wanted) - 1 - len(carried))]
    step = 0
    while goes and (limit is None or step < limit):
        given = [np.array(step, dtype=np.int64), np.array(goes), *carried]
        again, *found = body.run({**outer, **dict(zip(body.names, given, strict=True))})
        goes = bool(number(again)) if condition is not None else True
        carried, more = found[: len(carried)], found[len(carried) :]
        for place, value in zip(scanned, more, strict=True):
            place.append(tensor(value))
        step += 1
    if not step and scanned:
        raise call.refuse("it runs no step, so that nothing tells the shape of what it gathers")
    return (*carried, *(torch.stack(parts) for parts in scanned))


@operator("Scan", raw=True)
def scan(call: Call, *values: Any) -> tuple[Any, ...]:
    if call.opset < 9:
        return _scan_of_batches(call, values)
    given, outer = _outer(call, values)
    body, count = call.inner["body"], call.get("num_scan_inputs")
    carried, series = list(given[: len(given) - count]), list(map(tensor, given[-count:]))
    axes = call.get("scan_input_axes", [0] * count)
    turned = call.get("scan_input_directions", [0] * count)
    series = [
        torch.movedim(one, axis, 0).flip(0) if back else torch.movedim(one, axis, 0)
        for one, axis, back in zip(series, axes, turned, strict=True)
    ]
    carried, gathered = _stepped(body, outer, carried, series)
    count = len(gathered)
    axes = call.get("scan_output_axes", [0] * count)
    turned = call.get("scan_output_directions", [0] * count)
    outputs = [
        torch.stack(parts[::-1] if back else parts, axis)
        for parts, axis, back in zip(gathered, axes, turned, strict=True)
    ]
    return (*carried, *outputs)


def _stepped(
    body: Any, outer: dict[str, Any], carried: list[Any], series: list[Tensor]
) -> tuple[list[Any], list[list[Tensor]]]:
    """The body run along the first axis of ``series``: what it carries in the end, and what it
    gives at every step, by output."""
    gathered: list[list[Tensor]] = [[] for _ in range(len(body.wanted) - len(carried))]
    for step in range(series[0].shape[0]):
        inputs = [*carried, *(one[step] for one in series)]
        found = body.run({**outer, **dict(zip(body.names, inputs, strict=True))})
        carried = found[: len(carried)]
        for place, value in zip(gathered, found[len(carried) :], strict=True):
            place.append(tensor(value))
    return carried, gathered


def _scan_of_batches(call: Call, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operator set 8: the first input has lengths, and every other one a batch in front."""
    given, outer = _outer(call, values)
    lengths, *rest = given
    if lengths is not None or call.get("directions"):
        raise call.refuse("it has lengths or directions as in operator set 8")
    body, count = call.inner["body"], call.get("num_scan_inputs")
    results = []
    for row in range(rest[0].shape[0]):
        mine = [tensor(one)[row] for one in rest]
        carried, series = mine[: len(mine) - count], mine[-count:]
        carried, gathered = _stepped(body, outer, carried, series)
        results.append([*map(tensor, carried), *map(torch.stack, gathered)])
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True))


# --- sequences ------------------------------------------------------------------------------------


@operator("SequenceConstruct")
def sequence(call: Call, *values: Tensor) -> list[Tensor]:
    return list(values)


@operator("SequenceEmpty")
def empty(call: Call) -> list[Tensor]:
    return []


@operator("SequenceAt", raw=True)
def at(call: Call, values: list[Tensor], place: Any) -> Tensor:
    return values[int(number(place))]


@operator("SequenceInsert", raw=True)
def insert(call: Call, values: list[Tensor], value: Any, place: Any = None) -> list[Tensor]:
    where = len(values) if place is None else int(number(place))
    where = where + len(values) if where < 0 else where
    return [*values[:where], tensor(value), *values[where:]]


@operator("SequenceErase", raw=True)
def erase(call: Call, values: list[Tensor], place: Any = None) -> list[Tensor]:
    where = len(values) - 1 if place is None else int(number(place)) % len(values)
    return [*values[:where], *values[where + 1 :]]


@operator("SequenceLength", raw=True)
def length(call: Call, values: list[Tensor]) -> np.ndarray:
    return np.array(len(values), dtype=np.int64)


@operator("ConcatFromSequence", raw=True)
def joined(call: Call, values: list[Tensor]) -> Tensor:
    join = torch.stack if call.get("new_axis", 0) else torch.cat
    return join(values, call.get("axis"))


@operator("SplitToSequence", host=(1,))
def parted(call: Call, x: Tensor, sizes: Any = None) -> list[Tensor]:
    axis = call.get("axis", 0)
    if sizes is None:
        parts = list(x.split(1, axis))
        return parts if call.get("keepdims", 1) else [part.squeeze(axis) for part in parts]
    whole = sizes.ndim == 0
    return list(x.split(int(number(sizes)) if whole else [int(n) for n in sizes.tolist()], axis))


@operator("SequenceMap", raw=True)
def mapped(call: Call, *values: Any) -> tuple[Any, ...]:
    (first, *others), outer = _outer(call, values)
    body = call.inner["body"]
    found = []
    for place, value in enumerate(first):
        given = [value, *(one[place] if isinstance(one, list) else one for one in others)]
        found.append(body.run({**outer, **dict(zip(body.names, given, strict=True))}))
    return tuple([tensor(one) for one in part] for part in zip(*found, strict=True))


@operator("Optional", raw=True)
def optional(call: Call, value: Any = None) -> Any:
    return value


@operator("OptionalGetElement", raw=True)
def element(call: Call, value: Any) -> Any:
    return value


@operator("OptionalHasElement", raw=True)
def has_element(call: Call, value: Any = None) -> np.ndarray:
    return np.array(value is not None)
