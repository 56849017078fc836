"""A loaded model against what its source's own framework computes.

The framework's outputs come from wherever it runs: this process, a worker, an independent reader
of the same file, or a file of reference outputs that the user has. What they are compared with is
always the model as Hasten will use it, computed by the engine that is most faithful to its form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hasten.agreement import difference
from hasten.errors import BadData, NumericMismatch
from hasten.plugin.finding import engines
from hasten.plugin.running import Engine
from hasten.types import BATCH, Model, Spec, Step, TensorSpec, Use, Workload

BATCHES = (3, 2)
TOLERANCE = 1e-4
"""Largest difference allowed, as a share of the output's range."""
FREE = 32
"""Size of free dimensions other than the batch."""
UNVERIFIED = "unverified"


class Case(NamedTuple):
    """Inputs and the outputs that belong to them, both in the specification's order."""

    inputs: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]


def yardstick(form: str) -> Engine | None:
    """The installed engine that computes ``form`` most faithfully in fp32."""
    fit = [e for e in engines.available() if form in e.accepts and e.yardstick > 0]
    return max(fit, key=lambda engine: engine.yardstick, default=None)


def noise(seed: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values that most networks accept: normal floats, and 0 or 1 where they may be indices."""
    kind, generator = np.dtype(dtype), np.random.default_rng(seed)
    if kind.kind in "fc":
        return np.asarray(generator.standard_normal(shape), kind)
    return np.asarray(generator.integers(0, 2, shape), kind)


def feeds(specs: Sequence[TensorSpec], batches: Sequence[int] = BATCHES) -> list[list[np.ndarray]]:
    """Inputs by position at every batch size; one feed where the batch is not free."""
    free = any(spec.batched for spec in specs)
    return [
        [
            noise(n, spec.dtype, spec.bound({**dict.fromkeys(spec.free, FREE), BATCH: size}))
            for n, spec in enumerate(specs)
        ]
        for size in (batches if free else batches[:1])
    ]


def computed(specs: Sequence[TensorSpec], run: Callable[..., Sequence[Any]]) -> list[Case]:
    """What ``run(*inputs)`` gives for noise at two batch sizes."""
    return [Case(feed, [np.asarray(output) for output in run(*feed)]) for feed in feeds(specs)]


def compared(
    model: Model, frontend: str, against: str, cases: Iterable[Case], tolerance: float = TOLERANCE
) -> Model:
    """``model`` with a step that says how far it is from ``against``; refused above the tolerance.

    ``cases`` hold inputs as the model takes them and outputs in the specification's order.
    """
    engine = yardstick(model.form)
    if engine is None:
        return unverified(model, frontend, f"no engine here computes form {model.form} faithfully")
    worst, sizes = 0.0, []
    for case in cases:
        found = outputs(engine, model, case.inputs)
        sizes.append(_workload(model.spec, case.inputs).batch)
        if len(found) != len(case.outputs):
            raise NumericMismatch(
                f"The model gives {len(found)} outputs here and {len(case.outputs)} in {against}. "
                "It is not used."
            )
        for tensor, wanted, got in zip(model.spec.outputs, case.outputs, found, strict=True):
            if wanted.shape != got.shape:
                raise NumericMismatch(
                    f"Output '{tensor.name}' has shape {list(got.shape)} here and "
                    f"{list(wanted.shape)} in {against}. The model is not used."
                )
            worst = max(worst, difference(wanted, got))
    if not worst <= tolerance:
        raise NumericMismatch(
            f"The model differs from {against} by {worst:.1e} of the output's range, "
            f"{tolerance:.0e} are allowed. It is not used; report it with the model."
        )
    shown = " and ".join(map(str, sizes))
    note = f"compared with {against} at batch {shown}, {tolerance:.0e} of the range allowed"
    use = Use.of(frontend)
    return model.derive(Step("frontends", use, difference=worst, note=note, against=against))


def unverified(model: Model, frontend: str, why: str) -> Model:
    """``model`` with a step that says that nothing was compared with its source, and why."""
    return model.derive(Step("frontends", Use.of(frontend), note=f"{UNVERIFIED}: {why}"))


def referenced(model: Model, frontend: str, path: str) -> Model:
    """``model`` compared with the arrays of an ``.npz`` file, called as its inputs and outputs."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise BadData(f"Cannot read the reference '{path}': {error}.") from error
    spec = model.spec
    names = [tensor.name for tensor in (*spec.inputs, *spec.outputs)]
    if missing := [name for name in names if name not in arrays]:
        raise BadData(
            f"The reference '{path}' has no array '{missing[0]}'. It must have one for every input "
            f"and output: {', '.join(names)}."
        )
    case = Case(
        [arrays[one.name].astype(one.dtype) for one in spec.inputs],
        [arrays[one.name] for one in spec.outputs],
    )
    for one, array in zip(spec.inputs, case.inputs, strict=True):
        if len(one.shape) != array.ndim or any(
            isinstance(wanted, int) and wanted != size
            for wanted, size in zip(one.shape, array.shape, strict=True)
        ):
            raise BadData(
                f"Array '{one.name}' of the reference '{path}' has shape {list(array.shape)}; the "
                f"model takes {one}."
            )
    return compared(model, frontend, f"the reference in '{path}'", [case])


def merged(model: Model, step: Step) -> Model:
    """``model`` with one step for the whole of its loading: what was found is said in ``step``."""
    own = [one for one in model.history if one.family == step.family]
    told = [one for one in own if one.difference is not None]
    notes = [one.note for one in own if one.note]
    if told:
        notes = [note for note in notes if not note.startswith(UNVERIFIED)]
    last = told[-1] if told else step
    whole = replace(
        step,
        difference=last.difference,
        against=last.against,
        note="; ".join(dict.fromkeys(notes)),
    )
    others = tuple(one for one in model.history if one.family != step.family)
    return replace(model, history=(*others, whole))


def _workload(spec: Spec, inputs: Sequence[np.ndarray]) -> Workload:
    """The sizes at which these inputs are."""
    sizes: dict[str, int] = {}
    for tensor, array in zip(spec.inputs, inputs, strict=True):
        for dim, size in zip(tensor.shape, array.shape, strict=True):
            if isinstance(dim, str):
                sizes[dim] = size
    first = inputs[0].shape[0] if inputs and inputs[0].ndim else 1
    batch = sizes.pop(BATCH, first)
    return Workload(batch=batch, sizes=tuple(sorted(sizes.items())))


def outputs(engine: Engine, model: Model, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What ``model`` gives for ``inputs``, by position, run once with an engine's defaults."""
    named = dict(zip([tensor.name for tensor in model.spec.inputs], inputs, strict=True))
    with engine(model, _workload(model.spec, inputs), Use(engine.name)) as runner:
        found = runner.run(runner.bind(named))
        return [np.array(found[tensor.name]) for tensor in model.spec.outputs]
