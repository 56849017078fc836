"""What a PyTorch module takes and gives, found out by calling it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.errors import BadInput
from hasten.plugin.checking import noise
from hasten.types import BATCH, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

STEP = 32
"""Free dimensions are looked at in multiples of this, which most networks accept."""


# --- inputs --------------------------------------------------------------------------------------


def parameters(module: torch.nn.Module) -> tuple[list[str], list[str]]:
    """``(all, required)`` names of what ``forward`` takes, in order, without ``*`` and ``**``."""
    schema = getattr(module.forward, "schema", None)
    if schema is not None:  # TorchScript's
        own = schema.arguments[1:]
        return [a.name for a in own], [a.name for a in own if not a.has_default_value()]
    found = inspect.signature(module.forward).parameters.values()
    named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [p.name for p in named], [p.name for p in named if p.default is p.empty]


@dataclass(frozen=True)
class Inputs:
    """Input specifications, with example values and output names where somebody gave them."""

    specs: tuple[TensorSpec, ...]
    values: tuple[torch.Tensor, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def free(self) -> list[str]:
        """Names of the free dimensions other than the batch."""
        names = dict.fromkeys(dim for spec in self.specs for dim in spec.free)
        return [name for name in names if name != BATCH]

    def sizes(self, batch: int, call: int = 0) -> dict[str, int]:
        """A size for every free dimension; no two of them have equal sizes in both calls."""
        free = {name: STEP * (i + 1 + call) for i, name in enumerate(self.free)}
        return {**free, BATCH: batch}

    def feed(self, sizes: Mapping[str, int]) -> tuple[torch.Tensor, ...]:
        """Inputs of these sizes: the examples repeated, or else seeded noise.

        A smaller batch holds the first rows of a larger one.
        """
        import torch

        shapes = [spec.bound(sizes) for spec in self.specs]
        if not self.values:
            arrays = [
                noise(i, spec.dtype, shape)
                for i, (spec, shape) in enumerate(zip(self.specs, shapes, strict=True))
            ]
            return tuple(map(torch.from_numpy, arrays))
        pairs = zip(self.values, shapes, strict=True)
        return tuple(
            torch.cat([value] * -(-shape[0] // len(value)))[: shape[0]] if shape else value
            for value, shape in pairs
        )

    def fixed(self) -> Inputs:
        """The same inputs with the batch no longer free: that of the examples, or 1."""
        if self.values:
            shapes = [tuple(value.shape) for value in self.values]
        else:
            shapes = [tuple(1 if d == BATCH else d for d in spec.shape) for spec in self.specs]
        pairs = zip(self.specs, shapes, strict=True)
        return replace(self, specs=tuple(replace(spec, shape=shape) for spec, shape in pairs))


def from_examples(module: torch.nn.Module, given: Any) -> Inputs:
    """Inputs from example values: one tensor, a sequence by position, or a mapping by name.

    The batch is free if all of them have the same leading dimension.
    """
    names, _ = parameters(module)
    if isinstance(given, Mapping):
        known = [name for name in names if name in given]
        named = {name: given[name] for name in [*known, *(n for n in given if n not in known)]}
    else:
        values = list(given) if isinstance(given, list | tuple) else [given]
        names += [f"input_{i}" for i in range(len(names), len(values))]
        named = dict(zip(names, values, strict=False))
    tensors = {name: _tensor(name, value) for name, value in named.items()}
    leading = {tuple(t.shape[:1]) for t in tensors.values()}
    free = len(leading) == 1 and leading != {()} and leading != {(0,)}
    specs = tuple(
        TensorSpec(name, _dtype(name, t), (BATCH, *t.shape[1:]) if free else tuple(t.shape))
        for name, t in tensors.items()
    )
    return Inputs(specs, tuple(tensors.values()))


def _tensor(name: str, value: Any) -> torch.Tensor:
    import torch

    if isinstance(value, np.ndarray | torch.Tensor):
        return torch.as_tensor(value).detach().cpu()
    raise BadInput(
        f"Cannot use example input '{name}': it is a {type(value).__name__}, not a tensor. "
        "Bind everything but tensors in the factory."
    )


def _dtype(name: str, tensor: torch.Tensor) -> str:
    try:
        return str(tensor.numpy().dtype)
    except TypeError:
        raise BadInput(
            f"Cannot use example input '{name}': NumPy has no {tensor.dtype}. "
            "Give a float32 model; precision is what the search tries."
        ) from None


def from_specs(module: torch.nn.Module, specs: Sequence[TensorSpec]) -> Inputs:
    """Inputs as the user specified them, in the order of ``forward``'s parameters.

    Where there is one on either side, they are the same whatever they are called.
    """
    names, required = parameters(module)
    if len(specs) == 1 and len(names) >= 1 >= len(required):
        specs = [replace(specs[0], name=specs[0].name if specs[0].name in names else names[0])]
    given = {spec.name: spec for spec in specs}
    if names and (unknown := [name for name in given if name not in names]):
        raise BadInput(f"No input is called '{unknown[0]}': forward takes {', '.join(names)}.")
    if missing := [name for name in required if name not in given]:
        raise BadInput(f"Input '{missing[0]}' has no shape. Give it: --shape {missing[0]}=batch,…")
    return Inputs(tuple(given[name] for name in names if name in given) if names else tuple(specs))


def called(inputs: Inputs, outputs: Sequence[str]) -> Inputs:
    """The inputs with the names of outputs that a file gives, if these can be told apart."""
    taken = {spec.name for spec in inputs.specs}
    clear = len(set(outputs)) == len(outputs) and not taken & set(outputs) and all(outputs)
    return replace(inputs, outputs=tuple(outputs)) if clear else inputs


def from_program(program: ExportedProgram) -> Inputs:
    """Inputs as an exported program declares them, with the names of its outputs."""
    import torch
    from torch.export.graph_signature import OutputKind, TensorArgument
    from torch.utils._pytree import tree_unflatten

    names = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.find_nodes(op="placeholder") if node.name in names]
    leading = {str(node.meta["val"].shape[:1]) for node in nodes}
    called: dict[str, str] = {}
    specs = []
    for node in nodes:
        value, shape = node.meta["val"], []
        for axis, dim in enumerate(value.shape):
            name = BATCH if axis == 0 and len(leading) == 1 else f"{node.name}_{axis}"
            shape.append(dim if isinstance(dim, int) else called.setdefault(str(dim), name))
        dtype = _dtype(node.name, torch.empty(0, dtype=value.dtype))
        specs.append(TensorSpec(node.name, dtype, tuple(shape)))
    kept = [o for o in program.graph_signature.output_specs if o.kind is OutputKind.USER_OUTPUT]
    marks = [torch.empty(0) if isinstance(o.arg, TensorArgument) else None for o in kept]
    returned = tree_unflatten(marks, program.call_spec.out_spec)
    return Inputs(tuple(specs), outputs=tuple(output_names(returned, specs)))


# --- outputs -------------------------------------------------------------------------------------


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in what a module returned, with its name; other things are passed over."""
    import torch

    if isinstance(value, torch.Tensor):
        yield prefix or "output", value
    elif isinstance(value, Mapping) or hasattr(value, "_asdict") or is_dataclass(value):
        for key, item in _members(value):
            yield from leaves(item, f"{prefix}_{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        stem = prefix or "output"
        for i, item in enumerate(value):
            yield from leaves(item, f"{stem}_{i}" if i else stem)


def _members(value: Any) -> list[tuple[Any, Any]]:
    if is_dataclass(value) and not isinstance(value, Mapping):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return list((value if isinstance(value, Mapping) else value._asdict()).items())


def output_names(returned: Any, inputs: Sequence[TensorSpec]) -> list[str]:
    """Names of the returned tensors, each once and none that of an input."""
    taken = {spec.name for spec in inputs}
    names = []
    for name, _ in leaves(returned):
        while name in taken:
            name += "_out"
        taken.add(name)
        names.append(name)
    return names


def positional(module: torch.nn.Module, inputs: Inputs, returned: Any = None) -> torch.nn.Module:
    """``module``, or a wrapper called with tensors in order.

    Where ``returned`` (what the module returns) holds more than tensors, the wrapper returns a
    tuple of its tensors.
    """
    from torch import nn
    from torch.utils._pytree import tree_leaves

    names = [spec.name for spec in inputs.specs]
    known, _ = parameters(module)
    # An exported graph calls an input otherwise where Python has a function of its name.
    by_keyword = set(names) <= set(known) and known[: len(names)] != names
    tensors = [tensor for _, tensor in leaves(returned)]
    held = [] if returned is None else tree_leaves(returned)
    plain = len(held) == len(tensors) and all(a is b for a, b in zip(held, tensors, strict=True))
    if plain and not by_keyword:
        return module

    class Positional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *given: torch.Tensor) -> Any:
            named = dict(zip(names, given, strict=True)) if by_keyword else {}
            out = self.module(*(() if by_keyword else given), **named)
            return out if plain else tuple(tensor for _, tensor in leaves(out))

    return Positional().eval()
