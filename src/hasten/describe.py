"""Describe a model, a bundle or a training run: what goes in and out, how large, what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hasten import plugin
from hasten.manifest import opened, read_manifest
from hasten.search import space
from hasten.search.settings import model_source
from hasten.search.space import Situation
from hasten.search.store import Store
from hasten.search.workshop import Workshop
from hasten.types import Plan, Spec, Step, TensorSpec, Workload


def model(
    what: str,
    *,
    weights: str | None = None,
    trust: bool = False,
    shapes: tuple[TensorSpec, ...] = (),
    reference: str | None = None,
    python: str | None = None,
) -> dict[str, Any]:
    """What a source model is, as a JSON-ready record; loads it in a child process."""
    target = plugin.targets.get("cpu").probe()
    workshop = Workshop(Store(), target)
    try:
        source = model_source(what, weights, trust, shapes, reference, python)
        note = workshop.ingest(source, {})
    finally:
        workshop.close()
    spec = Spec.from_json(note["spec"])
    traits = frozenset(note["traits"])
    exportable = note["held"] == "store"
    situation = Situation(note["form"], traits, spec, target, Workload(), exportable=exportable)
    plans = [plan.name for plan in space.plans(situation)]
    shown = {
        "model": what,
        "form": note["form"],
        "compared with": _compared(note["history"]),
        **_tensors(spec),
        "parameters": f"{note['parameters']:,}",
        "multiply-adds": f"{note['macs']:,} per sample" if note["macs"] else "unknown",
        "operators": _operators(note),
        "traits": ", ".join(sorted(traits)) or "none",
        "size": f"{note['size_bytes'] / 1e6:.1f} MB",
        "can be tried": f"{len(plans)} plans: " + "; ".join(plans[:6]),
    }
    facts = ("form", "spec", "traits", "parameters", "macs", "operators", "written_in")
    record = {key: note[key] for key in (*facts, "hash", "history")}
    return {**record, "plans": plans, "shown": shown, "next": f"hasten optimize {what}"}


def bundle(path: Path) -> dict[str, Any]:
    """What a bundle holds, as a JSON-ready record."""
    with opened(path) as folder:
        manifest = read_manifest(folder)
    note: Mapping[str, Any] = manifest["model"]
    plan = Plan.from_json(manifest["plan"])
    spec = Spec.from_json(note["spec"])
    size = sum(facts["bytes"] for facts in manifest["files"].values())
    shown = {
        "bundle": str(path),
        "verdict": manifest["evidence"]["verdict"]["sentence"],
        "runs as": plan.name,
        **_tensors(spec),
        "measured at": f"batch {manifest['workload']['batch']}",
        "needs": ", ".join(f"{n} {v}" for n, v in manifest["requires"].items()),
        "size": f"{size / 1e6:.1f} MB in {len(manifest['files'])} files",
        "made by": f"hasten {manifest['hasten']}, {manifest['created']}",
    }
    record = {key: manifest[key] for key in ("schema", "plan", "workload", "requires", "model")}
    return {**record, "shown": shown, "next": f"hasten bench {path}"}


def run(path: Path) -> dict[str, Any]:
    """What a training run's folder holds, as a JSON-ready record; its model if it has ended."""
    from hasten.training.folder import RunFolder

    folder = RunFolder(path)
    record, done = folder.record() or {}, len(folder.metrics())
    parts, ended = record["data"]["parts"], "test" in record
    counts = [f"{parts[name]:,} {name}" for name in ("train", "validation", "test")]
    kept = [row["use"]["name"] for row in record["plan"] if row["kept"]]
    state = f"not finished: {done} of {record['epochs']:g} epochs"
    if ended:
        test = record["test"]
        state = f"{record['metric']} {test['value']:.4f} on {test['n']:,} test samples"
    shown = {
        "run": str(path),
        "state": state,
        "recipe": record["recipe"]["name"],
        "data": f"{record['data']['name']}: {', '.join(counts)}",
        "epochs": f"{done} of {record['epochs']:g}",
        "speed-ups": ", ".join([*kept, *record["recipe"]["speedups"]]) or "none",
    }
    if not ended:
        return {**record, "shown": shown, "next": f"hasten train --resume -o {path}"}
    found = model(str(path))
    return {**record, **found, "shown": {**shown, **found["shown"]}}


def _compared(history: Sequence[Mapping[str, Any]]) -> str:
    """What the loaded model was compared with, or why with nothing."""
    step = Step.from_json(history[0])
    if step.against and step.difference is not None:
        share = f"largest difference {step.difference:.1e} of the output's range"
        return f"{step.against}: {share}"
    return step.note or "nothing: it is used as it is"


def _operators(note: Mapping[str, Any]) -> str:
    """The most frequent ones first, with the standard they follow."""
    if not note["operators"]:
        return "unknown"
    told = ", ".join(f"{name} {count:,}" for name, count in note["operators"])
    return told + (f" ({note['written_in']})" if note["written_in"] else "")


def _tensors(spec: Spec) -> dict[str, str]:
    return {
        "inputs": "\n".join(map(str, spec.inputs)),
        "outputs": "\n".join(map(str, spec.outputs)),
    }
