"""The specification of a PyTorch module, from calling it and exporting it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hasten import plugin
from hasten.errors import BadModel, NumericMismatch, Unsupported
from hasten.frontends._torch import Inputs, leaves, output_names, positional
from hasten.frontends._torch_files import first_line
from hasten.types import Model, Spec, Step, TensorSpec, Use

if TYPE_CHECKING:
    import torch

MANY, FEW = 3, 2
"""The batch sizes at which a module is called; the second call gets rows of the first."""
TOLERANCE = 1e-4
"""Largest difference, as a share of the output's range, between calls that must agree."""

Tensors = Sequence["torch.Tensor"]


@dataclass(frozen=True)
class Probed:
    """A module called by position, its specification, and what had to be given up, if anything.

    ``difference`` is that of its exported graph from itself; ``None`` where it was not exported.
    """

    module: torch.nn.Module
    spec: Spec
    live: bool = False
    note: str = ""
    difference: float | None = None

    def model(self, frontend: str, against: str = "", notes: Iterable[str] = ()) -> Model:
        """The module as a model of a front end.

        ``against`` names the framework whose own object the module is: its graph was compared with
        what that computes. Where Hasten built the module from a file, leave it empty.
        """
        told = "; ".join(note for note in (self.note, *notes) if note)
        step = Step(
            "frontends",
            Use.of(frontend),
            difference=self.difference if against else None,
            note=told,
            against=against if self.difference is not None else "",
        )
        traits = frozenset({"live"} if self.live else ())
        return Model("torch", self.module, self.spec, traits, (step,))


def probe(module: torch.nn.Module, inputs: Inputs) -> Probed:
    """Call, export and compare: with a free batch if that works, else a fixed one, else live."""
    attempts = [inputs, inputs.fixed()] if any(s.batched for s in inputs.specs) else [inputs]
    called: list[tuple[torch.nn.Module, Spec, list[Tensors]]] = []
    reasons: list[str] = []
    for attempt in attempts:
        try:
            called.append(_called(module, attempt))
            worst = _export(*called[-1])
            note = f"the batch is fixed: {reasons[0]}" if reasons else ""
            return Probed(*called[-1][:2], note=note, difference=worst)
        except (BadModel, NumericMismatch, Unsupported) as error:
            reasons.append(str(error).rstrip("."))
            if attempt.free:
                raise Unsupported(
                    f"Cannot keep {', '.join(attempt.free)} free: {reasons[0]}. Give sizes, such "
                    f"as --shape {attempt.specs[0].name}=batch,128."
                ) from error
    if not called:
        raise BadModel(f"{reasons[-1]}.")
    note = f"the model stays in this process: {reasons[-1]}"
    return Probed(*called[0][:2], live=True, note=note)


def _export(handle: torch.nn.Module, spec: Spec, feeds: Sequence[Tensors]) -> float:
    """Export the module; how far its graph's outputs are from its own, refused if too far."""
    form: Any = plugin.forms.get("torch")
    graph = form.flatten(form.export(handle, spec))
    pairs = [(_tensors(handle, feed), _tensors(graph, feed)) for feed in feeds]
    return max(_agree(own, exported, "its exported graph") for own, exported in pairs)


def _called(module: torch.nn.Module, inputs: Inputs) -> tuple[torch.nn.Module, Spec, list[Tensors]]:
    """``(module by position, specification, feeds)``, from calls at every size that is free."""
    batched = any(spec.batched for spec in inputs.specs)
    sizes = [inputs.sizes(MANY)]
    sizes += [inputs.sizes(FEW)] if batched else []
    sizes += [inputs.sizes(FEW, 1)] if inputs.free else []
    feeds = [inputs.feed(size) for size in sizes]
    returned = [_returned(module, feed, inputs) for feed in feeds]
    names = inputs.outputs or output_names(returned[0], inputs.specs)
    if not names:
        raise BadModel("Cannot use the model: it returns no tensor.")
    results = [[tensor for _, tensor in leaves(value)] for value in returned]
    outputs = tuple(
        TensorSpec(name, _dtype(found[0]), _shape(name, [t.shape for t in found], sizes))
        for name, *found in zip(names, *results, strict=True)
    )
    if batched:
        _independent(outputs, results[0], results[1])
    return positional(module, inputs, returned[0]), Spec(inputs.specs, outputs), feeds


def _returned(module: torch.nn.Module, feed: Tensors, inputs: Inputs) -> Any:
    """What the module itself returns, called by the inputs' names where position will not do."""
    import torch

    try:
        with torch.no_grad():
            return positional(module, inputs)(*feed)
    except Exception as error:
        pairs = zip(inputs.specs, feed, strict=True)
        shown = ", ".join(f"{spec.name}: {spec.dtype}{list(x.shape)}" for spec, x in pairs)
        raise BadModel(f"Cannot run the model on {shown}: {first_line(error)}") from error


def _tensors(module: torch.nn.Module, feed: Tensors) -> list[torch.Tensor]:
    import torch

    with torch.no_grad():
        return [tensor for _, tensor in leaves(module(*feed))]


def _dtype(tensor: torch.Tensor) -> str:
    """The dtype's name; what NumPy lacks is handed out as float32."""
    name = str(tensor.dtype).removeprefix("torch.")
    return "float32" if name.startswith(("bfloat", "float8")) else name


def _shape(
    name: str, shapes: Sequence[Sequence[int]], sizes: Sequence[Mapping[str, int]]
) -> tuple[int | str, ...]:
    """The shape of an output: what changes with a free dimension is called like it."""
    shape: list[int | str] = []
    for axis, found in enumerate(zip(*shapes, strict=True)):
        same = [dim for dim in sizes[0] if [call[dim] for call in sizes] == list(found)]
        shape.append(found[0] if len(set(found)) == 1 else [*same, f"{name}_{axis}"][0])
    return tuple(shape)


def _independent(outputs: Sequence[TensorSpec], many: Tensors, few: Tensors) -> None:
    """Refuse a batch whose samples see each other: nothing could be measured per sample."""
    for spec in outputs:
        if not spec.batched:
            raise Unsupported(f"output '{spec.name}' does not lead with the batch")
    if all(len(a) == MANY and len(b) == FEW for a, b in zip(many, few, strict=True)):
        _agree([tensor[:FEW] for tensor in many], few, "a smaller batch of the same samples")


def _agree(expected: Tensors, found: Tensors, what: str) -> float:
    """The largest difference of outputs; refused above the tolerance."""
    worst = max(_difference(a, b) for a, b in zip(expected, found, strict=True))
    if worst > TOLERANCE:
        raise NumericMismatch(f"{what} gives outputs that differ by {worst:.1e} of the range")
    return worst


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference as a share of the range of ``a``; infinite where only one is NaN."""
    if a.shape != b.shape or bool((a.isnan() != b.isnan()).any()):
        return float("inf")
    if not a.is_floating_point():
        return float(bool((a != b).any()))
    if a.numel() == 0:
        return 0.0
    a, b = a.double().nan_to_num(), b.double().nan_to_num()
    spread = float(a.max() - a.min()) or float(a.abs().max()) or 1.0
    return float((a - b).abs().max()) / spread
