"""Building one candidate: load, convert, compress, check every step, and keep what was made.

Runs inside a child process (or in the parent, for a live object that cannot leave it). Each
prefix of a plan is an entry of its own in the store, so that candidates share their beginnings.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hasten import plugin
from hasten.errors import HastenError, NumericMismatch, Unsupported
from hasten.metrics import equivalent
from hasten.plugin import Runner, Source
from hasten.plugin.checking import yardstick
from hasten.search import samples
from hasten.search.samples import Part, first, ready
from hasten.search.store import Store, code, folder_files, folder_hash
from hasten.types import (
    Arrays,
    Model,
    Plan,
    Spec,
    Step,
    Use,
    Workload,
    canonical,
    digest,
)

CONVERSION_TOLERANCE = 1e-3
"""Largest output difference that a conversion may make, as a share of the output's range."""
CALIBRATION_SAMPLES = 300
SPEC_FILE = "spec.json"


# --- models in the store -----------------------------------------------------------------------


def save_model(store: Store, key: str, model: Model) -> dict[str, Any]:
    """Keep a model under ``key``; returns the note kept with it."""
    form, note = plugin.forms.get(model.form), described(model)
    with store.put(key, note) as folder:
        form.save(model, folder)
        note["hash"] = folder_hash(folder)
        note["size_bytes"] = sum((folder / name).stat().st_size for name in folder_files(folder))
    return note


def described(model: Model) -> dict[str, Any]:
    """What is known of a model without running it."""
    form = plugin.forms.get(model.form)
    parameters, macs = form.size(model.handle)
    return {
        "form": model.form,
        "spec": model.spec.to_json(),
        "traits": sorted(model.traits),
        "history": [step.to_json() for step in model.history],
        "parameters": parameters,
        "macs": macs,
        "operators": Counter(form.operators(model.handle)).most_common(),
        "written_in": form.written_in(model.handle),
    }


def load_model(folder: Path, note: Mapping[str, Any]) -> Model:
    """The model that an entry or a bundle holds."""
    spec = Spec.from_json(note["spec"])
    handle = plugin.forms.get(note["form"]).load(folder, spec)
    history = tuple(map(Step.from_json, note["history"]))
    return Model(note["form"], handle, spec, frozenset(note["traits"]), history)


def read_model(store: Store, key: str) -> Model:
    """The model under ``key``."""
    folder = store.get(key)
    if folder is None:
        raise HastenError(f"The store lost entry {key[:12]} while it was needed. Run again.")
    return load_model(folder, json.loads((folder / "entry.json").read_text())["note"])


def find_frontend(what: Any) -> plugin.Frontend:
    """The first front end that recognises ``what``."""
    asked = sorted(plugin.frontends.all(), key=lambda frontend: frontend.order)
    for frontend in asked:
        if frontend.sniff(what):
            return frontend
    from hasten.errors import BadModel

    raise BadModel(
        f"Cannot tell what model '{what}' is. Give a .onnx, .keras or .pt2 file, "
        "'package.module:factory' returning an nn.Module, or what docs/frameworks.md lists."
    )


def read_source(source: Source) -> Model:
    """Load a source through its front end, with the traits of its graph."""
    model = find_frontend(source.what)(source)
    found = plugin.forms.get(model.form).traits(model.handle)
    return replace(model, traits=model.traits | found)


# --- checking ------------------------------------------------------------------------------------


def check_sizes(spec: Spec, workload: Workload) -> list[int]:
    """The batch sizes a conversion is checked at: the workload's, and another if it is free."""
    return [workload.batch, workload.batch + 1] if spec.batched else [workload.batch]


def faithful_outputs(model: Model, inputs: Arrays, workload: Workload) -> list[Arrays] | None:
    """Outputs of the form's yardstick at every check size; ``None`` where no engine runs it."""
    engine = yardstick(model.form)
    if engine is None:
        return None
    answers = []
    for size in check_sizes(model.spec, workload):
        feed = ready(first(inputs, model.spec, size), model.spec, model.traits)
        sized = replace(workload, batch=size, target="cpu")
        with engine(model, sized, Use(engine.name)) as runner:
            answers.append({k: np.array(v) for k, v in runner.run(runner.bind(feed)).items()})
    return answers


def difference(expected: list[Arrays], found: list[Arrays]) -> float:
    """Largest difference over all outputs and sizes, as a share of each output's range."""
    worst = [equivalent(a, b)[0] for a, b in zip(expected, found, strict=True)]
    return max(worst)


# --- making the model of a plan -------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """What every candidate of one search stands on."""

    store: Store
    model_key: str
    source: Source | None
    data_folder: Path
    data_key: str
    workload: Workload
    machine: str

    @classmethod
    def from_request(cls, raw: Mapping[str, Any]) -> Ground:
        store = Store(Path(raw["store"]))
        folder = store.get(raw["data"])
        if folder is None:
            raise HastenError("The store lost the search's samples. Run again.")
        return cls(
            store,
            raw["model"],
            Source.from_json(raw["source"]) if raw.get("source") else None,
            folder,
            raw["data"],
            Workload.from_json(raw["workload"]),
            raw["machine"],
        )

    def original(self) -> Model:
        """The user's model, as the data declare its inputs: from the store, or from its source
        where no form can hold it."""
        if self.source is not None:
            model = read_source(self.source)
        else:
            model = read_model(self.store, self.model_key)
        return replace(model, spec=self.declared(model.spec))

    def declared(self, spec: Spec) -> Spec:
        """``spec`` with the task, labels and normalisation that the data declare."""
        said = Spec.from_json(json.loads((self.data_folder / SPEC_FILE).read_text()))
        return replace(spec, task=said.task, labels=said.labels, normalisation=said.normalisation)

    def part(self, name: str) -> Part:
        return samples.read_part(self.data_folder, name)


def prefix_key(ground: Ground, steps: tuple[tuple[str, Use], ...]) -> str:
    """The store's key of the model after ``steps``."""
    if not steps:
        return ground.model_key
    families = {family: getattr(plugin, family) for family, _ in steps}
    used = [families[family].get(use.name) for family, use in steps]
    versions = [code(), *(p.versions() for p in used)]
    calibrated = any(getattr(p, "calibrates", False) for p in used)
    return digest(
        "model",
        ground.model_key,
        canonical([[family, use.to_json()] for family, use in steps]),
        canonical(versions),
        (ground.data_folder / SPEC_FILE).read_text(),
        ground.data_key if calibrated else canonical(ground.workload.to_json()),
        ground.machine if calibrated else "",
    )


def make_model(ground: Ground, steps: tuple[tuple[str, Use], ...]) -> Model:
    """The model after ``steps``, from the longest stored prefix on. Every new step is checked."""
    for done in range(len(steps), 0, -1):
        key = prefix_key(ground, steps[:done])
        if ground.store.get(key):
            model = read_model(ground.store, key)
            break
    else:
        done, model = 0, ground.original()
    for index in range(done, len(steps)):
        model = _apply(ground, model, *steps[index])
        save_model(ground.store, prefix_key(ground, steps[: index + 1]), model)
    return model


def _apply(ground: Ground, model: Model, family: str, use: Use) -> Model:
    """One step, checked against its input where it must not change what is computed."""
    inputs = ground.part("selection").head(8).inputs
    if family == "converters":
        made = plugin.converters.get(use.name)(model, ground.workload)
        found = plugin.forms.get(made.form).traits(made.handle)
        kept = model.traits & {samples.UINT8_INPUT}
        made = replace(made, traits=found | kept)
        return _verified(ground, model, made, inputs)
    technique = plugin.techniques.get(use.name)
    made = technique(model, _calibration(ground, model), use)
    found = plugin.forms.get(made.form).traits(made.handle)
    made = replace(made, traits=made.traits | found)
    return _verified(ground, model, made, inputs) if technique.exact else made


def _calibration(ground: Ground, model: Model) -> Arrays:
    """Model-ready calibration inputs, ``(n, ...)`` each."""
    part = ground.part("calibration").head(CALIBRATION_SAMPLES)
    return ready(dict(part.inputs), model.spec, model.traits)


def _verified(ground: Ground, before: Model, after: Model, inputs: Arrays) -> Model:
    """``after`` with the measured difference in its last step; refused above the tolerance."""
    expected = faithful_outputs(before, inputs, ground.workload)
    found = faithful_outputs(after, inputs, ground.workload)
    step = after.history[-1]
    if expected is None or found is None:
        note = "unverified: no engine here runs this form faithfully"
        return replace(after, history=(*after.history[:-1], replace(step, note=note)))
    worst = difference(expected, found)
    if not worst <= CONVERSION_TOLERANCE:
        raise NumericMismatch(
            f"'{step.use}' changed the outputs by {worst:.2e} of their range, more than the "
            f"{CONVERSION_TOLERANCE:.0e} allowed. It is not used; report it with the model."
        )
    return replace(after, history=(*after.history[:-1], replace(step, difference=worst)))


def stored_bytes(ground: Ground, plan: Plan) -> int:
    """The size on disk of a plan's model as data."""
    folder = ground.store.get(prefix_key(ground, plan.steps))
    if folder is None:
        return 0
    return sum((folder / name).stat().st_size for name in folder_files(folder))


# --- compiling and trying it ---------------------------------------------------------------------


def compile_plan(model: Model, plan: Plan, workload: Workload) -> Runner:
    """A runner for the plan's engine that takes data as they are stored."""
    engine = plugin.engines.get(plan.engine.name)
    return samples.Prepared(engine(model, workload, plan.engine), model.spec, model.traits)


def quick_seconds(runner: Runner, feed: Any, budget: float = 0.3) -> float:
    """The fastest of a few calls: good enough to rank, never used to judge."""
    runner.run(feed)
    best, deadline = float("inf"), time.perf_counter() + budget
    while True:
        began = time.perf_counter()
        runner.run(feed)
        ended = time.perf_counter()
        best = min(best, ended - began)
        if ended > deadline:
            return best


def layer_sqnr(reference: Model, candidate: Model, inputs: Arrays, batch: int) -> dict[str, float]:
    """SQNR in dB of every multiply-add layer's output, in the model's order.

    Both models must hold the same form and name their layers alike.
    """
    if reference.form != candidate.form:
        raise Unsupported(
            f"Cannot compare layers of a model in form {reference.form} with form {candidate.form}."
        )
    form = plugin.forms.get(reference.form)
    found = {}
    pair = []
    for model in (reference, candidate):
        feed = ready(first(inputs, model.spec, batch), model.spec, model.traits)
        pair.append(form.layers(model.handle, feed))
    for name, expected in pair[0].items():
        if name in pair[1] and pair[1][name].shape == expected.shape:
            found[name] = sqnr_decibel(expected, pair[1][name])
    return found


def sqnr_decibel(expected: np.ndarray, found: np.ndarray) -> float:
    """10·log10(Σ expected² / Σ (expected − found)²), limited to ±200."""
    a = expected.astype(np.float64)
    signal, noise = float(np.sum(a**2)), float(np.sum((a - found.astype(np.float64)) ** 2))
    if not np.isfinite(noise):
        return -200.0
    if noise == 0.0:
        return 200.0
    return float(np.clip(10 * np.log10(max(signal, 1e-300) / noise), -200, 200))


def batch_of(spec: Spec, workload: Workload) -> int:
    """How many samples one call takes: the workload's batch, or the size a model is fixed to."""
    if any(tensor.batched for tensor in spec.inputs):
        return workload.batch
    leading = [t.shape[0] for t in spec.inputs if t.shape and isinstance(t.shape[0], int)]
    return int(leading[0]) if leading and all(n == leading[0] for n in leading) else 1
