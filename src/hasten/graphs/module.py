"""A graph of operators as a module of PyTorch: it trains, and ``torch.export`` captures it.

Whole numbers that describe shapes stay on the host: NumPy arrays of integers, of dtype ``object``
where one of them is a symbol of ``torch.export``. Computed as tensors they would be values that the
exporter cannot see through, and every free dimension that depends on them would be lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hasten.errors import HastenError, Unsupported

MOST_SETTINGS = 64
"""Values of a vector that sizes or factors may be computed from."""
Value = Any
"""A tensor, a host array (``numpy.ndarray``), a list of values, or ``None``."""


@dataclass(frozen=True)
class Node:
    """One operator: ``run(*values)`` gives the value of its output, or a tuple of them."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[..., Any]
    weights: frozenset[int] = field(default_factory=frozenset)
    """Places among the inputs where a constant is a weight, however small it is."""
    host: frozenset[int] = field(default_factory=frozenset)
    """Places where a constant is a setting: it stays on the host."""
    inner: tuple[GraphModule, ...] = ()
    """Graphs that it may run."""
    foldable: bool = False
    """Whether it is computed on the host where all its inputs are there."""


class GraphModule(torch.nn.Module):
    """Runs nodes in order.

    ``constants`` are arrays by name: float ones with more than one value become parameters, whole
    numbers and settings stay on the host. ``inputs`` and ``outputs`` are names, by position. An
    output is a tensor, even where it was computed on the host.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        constants: Mapping[str, np.ndarray],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        self.nodes, self.names, self.wanted = list(nodes), tuple(inputs), tuple(outputs)
        self.inner = torch.nn.ModuleList(part for node in self.nodes for part in node.inner)
        self.last: list[tuple[str, ...]] = []
        self.host: dict[str, np.ndarray] = {}
        self.kept: dict[str, str] = {}
        settings, others = _used(self.nodes, self.wanted)
        for name, array in constants.items():
            learned = array.dtype.kind in "fc" and (array.size > 1 or others.get(name, False))
            if name in settings and array.ndim <= 1 and array.size <= MOST_SETTINGS:
                learned = False
            if name in others and learned:
                self._keep(name, array)
            if name in settings or (name in others and not learned):
                self.host[name] = array
        self.last = _last_uses(self.nodes, {*self.wanted, *self.host, *self.kept})

    def _keep(self, name: str, array: np.ndarray) -> None:
        """A constant as a parameter; its name in the module is one that PyTorch takes."""
        base = re.sub(r"\W", "_", name) or "weight"
        taken = {*self.kept.values(), *dir(self)}
        own = next(
            n for n in (base, *(f"{base}_{k}" for k in range(len(taken) + 1))) if n not in taken
        )
        self.kept[name] = own
        try:
            tensor = torch.from_numpy(np.array(array))
        except TypeError:
            raise Unsupported(
                f"Constant '{name}' is not supported: it holds {array.dtype}, which NumPy and "
                "PyTorch do not share."
            ) from None
        self.register_parameter(own, torch.nn.Parameter(tensor))

    def forward(self, *given: torch.Tensor) -> Any:
        found = [outward(value) for value in self.run(dict(zip(self.names, given, strict=True)))]
        return found[0] if len(found) == 1 else tuple(found)

    def run(self, given: Mapping[str, Value]) -> list[Value]:
        """The outputs, from the inputs, and of an inner graph also what it takes from outside, by
        name; on the host what was computed there."""
        values: dict[str, Value] = {**given, **self.host, "": None}
        values |= {name: getattr(self, own) for name, own in self.kept.items()}
        for number, node in enumerate(self.nodes):
            results = computed(node, [self._at(values, node, n) for n in range(len(node.inputs))])
            pairs = zip(node.outputs, results, strict=False)
            values.update((name, result) for name, result in pairs if name)  # "" is left out
            for name in self.last[number]:
                values.pop(name, None)
        return [values[name] for name in self.wanted]

    def _at(self, values: Mapping[str, Value], node: Node, place: int) -> Value:
        name = node.inputs[place]
        if place in node.host and name in self.host:
            return self.host[name]
        return values[name]


def computed(node: Node, values: Sequence[Value]) -> tuple[Value, ...]:
    """What a node gives; what goes wrong in it is said with its name."""
    try:
        found = node.run(*values)
    except HastenError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AssertionError) as error:
        if _of_export(error):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise Unsupported(
            f"Operator {node.kind} (node '{node.name}') cannot compute what it is given: {reason}."
        ) from error
    return found if isinstance(found, tuple) else (found,)


def _of_export(error: BaseException) -> bool:
    """Whether it is ``torch.export``'s own: it catches some of these and goes on."""
    return type(error).__module__.startswith("torch.")


def _used(nodes: Sequence[Node], wanted: Sequence[str]) -> tuple[set[str], dict[str, bool]]:
    """Names that stand where settings stand, or that settings are computed from; names that stand
    elsewhere, and whether as weights."""
    settings: set[str] = set()
    others: dict[str, bool] = dict.fromkeys(wanted, False)
    for node in reversed(nodes):
        if node.foldable and not settings.isdisjoint(node.outputs):
            settings.update(name for name in node.inputs if name)
        for place, name in enumerate(node.inputs):
            if place in node.host:
                settings.add(name)
            else:
                others[name] = others.get(name, False) or place in node.weights
    return settings, others


def _last_uses(nodes: Sequence[Node], kept: set[str]) -> list[tuple[str, ...]]:
    """For every node the values that none after it needs."""
    seen: set[str] = set(kept)
    found: list[tuple[str, ...]] = []
    for node in reversed(nodes):
        mine = {*node.inputs, *node.outputs} - seen
        found.append(tuple(mine))
        seen |= mine
    return found[::-1]


# --- values ---------------------------------------------------------------------------------------


def on_host(value: Value) -> bool:
    """Whether it is a host array."""
    return isinstance(value, np.ndarray)


def plain(array: np.ndarray) -> np.ndarray:
    """A host array without symbols as integers again."""
    if array.dtype == object and all(isinstance(one, int | np.integer) for one in array.flat):
        flat = [int(one) for one in array.flat]
        kind = bool if array.size and all(isinstance(one, bool) for one in array.flat) else np.int64
        return np.array(flat, dtype=kind).reshape(array.shape)
    return array


def tensor(value: Value, like: torch.Tensor | None = None) -> torch.Tensor:
    """A value as a tensor, on the device of ``like``."""
    device = like.device if like is not None else None
    if isinstance(value, torch.Tensor):
        return value
    array = plain(value)
    if array.dtype.kind in "USO" and any(isinstance(one, str | bytes) for one in array.flat):
        raise Unsupported("Cannot compute with texts in PyTorch. Leave them to what comes before.")
    if array.dtype == object:
        if any(not isinstance(one, int | torch.SymInt | np.integer) for one in array.flat):
            raise Unsupported(
                "Cannot keep a dimension free: fractions of it are computed with. Give its size."
            )
        parts = [torch.scalar_tensor(one, dtype=torch.int64, device=device) for one in array.flat]
        return torch.stack(parts).reshape(array.shape) if parts else torch.zeros(array.shape)
    if array.dtype.name == "bfloat16":
        made = torch.from_numpy(array.view(np.uint16).astype(np.int32)).to(torch.uint16)
        made = made.view(torch.bfloat16)
    else:
        made = torch.from_numpy(np.array(array))
    return made.to(device) if device is not None and device.type != "cpu" else made


def tensors(values: Sequence[Value]) -> list[Any]:
    """All as tensors, on the device of the first that is one; what is left out stays ``None``."""
    like = next((one for one in values if isinstance(one, torch.Tensor)), None)
    return [tensor(one, like) if on_host(one) else one for one in values]


def numbers(value: Value) -> list[Any]:
    """The values of a vector, as Python's numbers or symbols; of a tensor they are read."""
    if isinstance(value, torch.Tensor):
        return list(value.detach().flatten().tolist())
    return list(np.asarray(value).flatten().tolist())


def number(value: Value) -> Any:
    """The only value of an array or a tensor."""
    return numbers(value)[0]


def shape_of(value: Value) -> list[Any]:
    """Sizes, symbols among them, of a tensor or a host array."""
    return list(value.shape)


def host(values: Sequence[Any]) -> np.ndarray:
    """Numbers and symbols as a host vector."""
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return plain(made)


def outward(value: Value) -> Any:
    """A value as the caller gets it."""
    if isinstance(value, list | tuple):
        return [outward(one) for one in value]
    return value if value is None else tensor(value)
