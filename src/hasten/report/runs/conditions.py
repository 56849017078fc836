"""Under which conditions a run was made: the plan, the data, the settings, the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from hasten.report import units
from hasten.report.runs.record import RunRecord, number
from hasten.training.settings import TrainSettings
from hasten.types import Normalisation, Ratio, Use

Facts = list[tuple[str, str]]
MOST_CHANNELS = 4


@dataclass(frozen=True)
class PlanRow:
    """One speed-up that was tried."""

    name: str
    factor: str
    interval: str
    kept: bool
    why: str
    spent: str


def plan(run: RunRecord) -> list[PlanRow]:
    """What the planner tried, in that order."""
    return [_plan_row(row) for row in run.tried]


def _plan_row(row: Mapping[str, Any]) -> PlanRow:
    ratio = Ratio.from_json(row["ratio"]) if row["ratio"] else None
    return PlanRow(
        str(Use.from_json(row["use"])),
        units.times(ratio.value if ratio else None),
        units.interval(ratio),
        bool(row["kept"]),
        row["why"],
        units.duration(row["seconds"]) if row["seconds"] else units.NONE,
    )


def data(run: RunRecord) -> Facts:
    """The parts, copies between them, and what centred and scaled the inputs."""
    found, parts = run.raw["data"], run.raw["data"]["parts"]
    copies = units.count(parts["copies"])
    others = [
        ("Exact copies of test in validation", parts.get("held_copies")),
        ("Samples that come again in training", parts.get("repeated")),
    ]
    if parts["copies"]:
        copies += ", left out" if parts["cleaned"] else ", in use"
    facts = [
        ("Data", str(found["name"])),
        ("Task", str(found["task"])),
        ("Training", f"{units.count(parts['train'])} samples"),
        ("Validation", f"{units.count(parts['validation'])} samples, read after every epoch"),
        ("Test", f"{units.count(parts['test'])} samples, read once"),
        ("Exact copies of validation or test in training", copies),
        *((label, units.count(count)) for label, count in others if count),
    ]
    facts += [(f"Input {name}", str(list(shape))) for name, shape in run.raw["inputs"].items()]
    if run.raw["classes"]:
        facts.append(("Classes", units.count(len(run.raw["classes"]))))
    scales = run.raw["normalisation"] or {}
    return facts + [(f"Normalisation of {name}", _scaled(raw)) for name, raw in scales.items()]


def _scaled(raw: Mapping[str, Any]) -> str:
    scale = Normalisation.from_json(raw)
    return f"mean {_some(scale.mean)}; spread {_some(scale.std)}; of the training part"


def _some(values: tuple[float, ...]) -> str:
    shown = ", ".join(number(value, 3) for value in values[:MOST_CHANNELS])
    more = len(values) - MOST_CHANNELS
    return f"{shown} and {more:,} more" if more > 0 else shown


def settings(run: RunRecord) -> Facts:
    """What was asked, and what the recipe said where nothing was."""
    recipe = run.raw["recipe"]
    asked = {name: value for name, value in run.raw["settings"].items() if value is not None}
    usual = {name: value for name, value in recipe["training"].items() if name not in asked}
    return [
        ("Recipe", str(recipe["name"])),
        ("Network", str(recipe["network"])),
        *((f"Network: {name}", _plain(value)) for name, value in recipe["options"].items()),
        ("Loss", str(run.raw["loss"])),
        ("Epochs planned", f"{run.raw['epochs']:.4g}"),
        *((f"{_words(name)} (recipe)", _plain(value)) for name, value in usual.items()),
        *((_words(name), _plain(value)) for name, value in asked.items() if name != "epochs"),
    ]


def _words(name: str) -> str:
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return units.minus(f"{value:.6g}") if isinstance(value, float) else str(value)


def machine(run: RunRecord) -> Facts:
    """Where it ran, and with which versions."""
    raw = run.raw.get("machine") or {}
    versions = raw.get("versions") or {"hasten": run.raw["hasten"], "torch": run.raw["torch"]}
    facts = [
        ("Processor", raw.get("name")),
        ("Cores", raw.get("cores")),
        ("Threads", raw.get("threads")),
        ("System", raw.get("os")),
        ("Python", raw.get("python")),
        *((name, version) for name, version in versions.items()),
    ]
    return [(label, str(value)) for label, value in facts if value]


def command(run: RunRecord) -> str:
    """The command that was given, or the call in Python that says the same."""
    if run.raw["command"]:
        return str(run.raw["command"])
    asked = run.raw["asked"]
    usual = {f.name: f.default for f in fields(TrainSettings) if f.default is not MISSING}
    given = {k: v for k, v in run.raw["settings"].items() if v != usual.get(k)}
    if asked.get("target") is not None:
        given["target"] = asked["target"]
    where = "data" if asked["data"] is None else repr(asked["data"])
    options = "".join(f", {name}={value!r}" for name, value in given.items())
    return f"hasten.train({asked['recipe']!r}, {where}{options})"
