"""Places picked and put, and loops."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.module import host, number, on_host, tensor
from hasten.graphs.theano.operators import (
    MOST_STEPS,
    NOTHING,
    WHOLE,
    Call,
    operator,
)


def index_of(call: Call, given: Sequence[Any]) -> tuple[Any, ...]:
    """The index that ``idx_list`` describes; what it leaves open comes from ``given`` in order."""
    left = iter(given)
    return tuple(_place(call, one, given, left) for one in call.get("idx_list", []))


def _place(call: Call, one: Any, given: Sequence[Any], left: Any) -> Any:
    if isinstance(one, dict) and "slice" in one:
        parts = [_bound(part, given, left) for part in one["slice"]]
        if isinstance(parts[2], int) and parts[2] < 0 and parts[2] != -1:
            raise call.refuse("it goes backwards in steps")
        return slice(*parts)
    return _bound(one, given, left)


def _bound(one: Any, given: Sequence[Any], left: Any) -> Any:
    """What an index says: a whole number is the place of its value (PyTensor 3), a type stands for
    the next one."""
    if one is None:
        return None
    return number(given[one] if isinstance(one, int) else next(left))


@operator("Subtensor")
def subtensor(call: Call, x: Any, *given: Any) -> Any:
    return _taken(x, index_of(call, given))


def _taken(x: Any, index: tuple[Any, ...]) -> Any:
    if on_host(x):
        found = x[index]
        if isinstance(found, np.ndarray):
            return found
        whole = x.dtype.kind in WHOLE
        return host([found]).reshape(()) if whole else np.array(found, dtype=x.dtype)
    for axis in range(len(index) - 1, -1, -1):
        one = index[axis]
        if isinstance(one, slice) and one.step == -1:
            x = _reversed(x, axis, one)
            continue
        x = x[(slice(None),) * axis + (one,)]
    return x


def _reversed(x: Tensor, axis: int, one: slice) -> Tensor:
    size = x.shape[axis]
    first = size - 1 if one.start is None else one.start + size if one.start < 0 else one.start
    last = -1 if one.stop is None else one.stop + size if one.stop < 0 else one.stop
    return x.narrow(axis, last + 1, min(first, size - 1) - last).flip(axis)


@operator("IncSubtensor")
def put(call: Call, x: Any, value: Any, *given: Any) -> Tensor:
    found = tensor(x).clone()
    index = index_of(call, given)
    value = tensor(value).to(found.dtype)
    if call.get("set_instead_of_inc"):
        found[index] = value
    else:
        found[index] = found[index] + value
    return found


@operator("AdvancedSubtensor1")
def rows(call: Call, x: Any, places: Any) -> Tensor:
    x, places = tensor(x), tensor(places).long()
    places = torch.where(places < 0, places + x.shape[0], places)
    return F.embedding(places, x) if x.ndim == 2 else x.index_select(0, places)


@operator("AdvancedSubtensor")
def picked(call: Call, x: Any, *places: Any) -> Tensor:
    if call.get("idx_list"):
        values = iter(places)
        index = [
            _place(call, one, places, values)
            if isinstance(one, dict) and "slice" in one
            else _where(places[one] if isinstance(one, int) else next(values))
            for one in call.get("idx_list")
        ]
    else:
        index = [_any_place(one) for one in places]
    return tensor(x)[tuple(index)]


def _any_place(value: Any) -> Any:
    """A value that is an index, or three numbers that stand for a slice."""
    if on_host(value) and value.shape == (3,) and NOTHING in value.tolist():
        return slice(*(None if one == NOTHING else one for one in value.tolist()))
    return _where(value)


def _where(value: Any) -> Tensor:
    """Places, or a mask."""
    found = tensor(value)
    return found if found.dtype is torch.bool else found.long()


@operator("NonZero", "Nonzero")
def non_zero(call: Call, x: Any) -> tuple[Tensor, ...]:
    return tuple(torch.nonzero(tensor(x), as_tuple=True))


@operator("Scan")
def scan(call: Call, steps: Any, *given: Any) -> tuple[Any, ...]:
    """A loop, unrolled: its count must be known while the graph runs."""
    facts, body = call.get("scan"), call.inner
    count = number(steps)
    if facts.get("as_while") or facts["n_mit_mot"] or facts["n_shared_outs"]:
        raise call.refuse("it ends on a condition, or keeps what only gradients need")
    if isinstance(count, int) and count > MOST_STEPS:
        raise call.refuse(f"it takes {count} steps, more than {MOST_STEPS}")
    if not isinstance(count, int):
        raise call.refuse("the number of its steps is free: give its length a fixed size")
    values = iter(given)
    series = list(itertools.islice(values, facts["n_seqs"]))
    states = list(itertools.islice(values, facts["n_mit_sot"] + facts["n_sit_sot"]))
    lengths = list(itertools.islice(values, facts["n_nit_sot"]))
    fixed = list(values)
    taps = facts["taps"][-len(states) :] if states else []
    depth = [-min(one) for one in taps]
    kept = [
        [tensor(state)[n] for n in range(back)] for state, back in zip(states, depth, strict=True)
    ]
    gathered: list[list[Tensor]] = [[] for _ in lengths]
    for step in range(count):
        inputs = [tensor(one)[step] for one in series]
        for history, back, mine in zip(kept, depth, taps, strict=True):
            inputs += [history[step + back + tap] for tap in mine]
        found = body.run(dict(zip(body.names, [*inputs, *fixed], strict=True)))
        for history, value in zip(kept, found, strict=False):
            history.append(tensor(value))
        for place, value in zip(gathered, found[len(kept) :], strict=False):
            place.append(tensor(value))
    # What a state began with stands before what the loop gave, as far as the buffer is that long.
    whole = [
        torch.stack(history[-_rows(state) :]) for history, state in zip(kept, states, strict=True)
    ]
    return (*whole, *(torch.stack(parts) for parts in gathered))


def _rows(state: Any) -> int:
    return int(state.shape[0])
