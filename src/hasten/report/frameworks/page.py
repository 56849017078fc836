"""A comparison of frameworks as a page, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from hasten.report import frame, units
from hasten.report.figures import bars
from hasten.report.figures.bars import Bar
from hasten.report.sections.headline import Tile
from hasten.types import Ratio

Rival = Mapping[str, Any]
REFERENCE = "pytorch"


def render(record: Mapping[str, Any]) -> str:
    """The whole page."""
    return frame.render("frameworks.html.j2", context(record))


def measured(record: Mapping[str, Any]) -> list[Rival]:
    """The rivals that were measured to the end, the fastest in training first."""
    whole = [one for one in record["rivals"] if one["status"] == "measured" and one["train"]]
    return sorted(whole, key=lambda one: median(one["train"]))


def context(record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template shows."""
    rivals = measured(record)
    return {
        "raw": record,
        "title": f"frameworks, {record['recipe']} on {record['data']}",
        "verdict": {"sentence": sentence(record), "reason": ""},
        "warnings": [f"{one['title']}: {one['why']}" for one in _lost(record, "failed")],
        "missing": [(one["title"], one["fix"]) for one in _lost(record, "missing")],
        "tiles": _tiles(rivals),
        "training": _figure(rivals, "train", record["batch"], "Samples per second, training"),
        "answering": _figure(
            rivals, "throughput", record["batch"], "Samples per second, answering"
        ),
        "columns": COLUMNS,
        "rows": [cells(one, record["batch"]) for one in rivals],
        "conditions": _conditions(record),
        "command": record["command"] or f"hasten compare frameworks {record['recipe']}",
    }


def sentence(record: Mapping[str, Any]) -> str:
    """What was found, in one sentence."""
    rivals = measured(record)
    if len(rivals) < 2:
        return "Only one framework could be measured here."
    best, last = rivals[0], rivals[-1]
    times = median(last["train"]) / median(best["train"])
    fast = min(rivals, key=lambda one: median(one["latency"]))
    return (
        f"{best['title']} trains this network fastest here, {units.times(times)} as fast as "
        f"{last['title']}; {fast['title']} answers a single sample soonest, in "
        f"{units.duration(median(fast['latency']))}."
    )


def _lost(record: Mapping[str, Any], status: str) -> list[Rival]:
    return [one for one in record["rivals"] if one["status"] == status]


def _tiles(rivals: Sequence[Rival]) -> list[Tile]:
    found = []
    for name, label in (("train", "trains fastest"), ("latency", "answers one soonest")):
        if rivals:
            best = min(rivals, key=lambda one: median(one[name]))
            found.append(Tile(label, best["title"], f"{units.duration(median(best[name]))} each"))
    return found


def _figure(rivals: Sequence[Rival], name: str, batch: int, title: str) -> Any:
    if not rivals:
        return None
    rows = []
    for one in rivals:
        rates = sorted(batch / seconds for seconds in one[name])
        value = median(rates)
        text = f"{units.count(round(value))}{_against(one, name)}"
        rows.append(Bar(one["title"], value, text, rates[0], rates[-1], one["name"] == REFERENCE))
    return frame.figure(lambda width: bars.scene(rows, title, width))


def _against(one: Rival, name: str) -> str:
    raw = one.get(f"{name}_ratio")
    if raw is None or one["name"] == REFERENCE:
        return ""
    return f"  ({units.times(Ratio.from_json(raw).value)})"


COLUMNS = (
    "Framework",
    "Training step",
    "against PyTorch",
    "One sample",
    "against PyTorch",
    "Batch",
    "First step",
    "Import",
    "Memory",
    "Accuracy",
)


def cells(one: Rival, batch: int) -> list[str]:
    """A row of the table."""
    accuracy = units.NONE
    if one.get("accuracy") is not None:
        low, high = units.percent(one["accuracy_low"], 1), units.percent(one["accuracy_high"], 1)
        accuracy = f"{units.percent(one['accuracy'], 1)} [{low}, {high}]"
    return [
        one["title"],
        units.duration(median(one["train"])),
        _interval(one, "train"),
        units.duration(median(one["latency"])) if one["latency"] else units.NONE,
        _interval(one, "latency"),
        units.duration(median(one["throughput"])) if one["throughput"] else units.NONE,
        units.duration(one["first_step_seconds"]),
        units.duration(one["import_seconds"]),
        units.size(one.get("memory_bytes")),
        accuracy,
    ]


def _interval(one: Rival, name: str) -> str:
    raw = one.get(f"{name}_ratio")
    if raw is None or one["name"] == REFERENCE:
        return units.NONE
    ratio = Ratio.from_json(raw)
    return f"{units.times(ratio.value)} {units.interval(ratio)}"


def _conditions(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    versions = [
        (f"{one['title']}", ", ".join(f"{k} {v}" for k, v in one["versions"].items()))
        for one in measured(record)
    ]
    found = record["machine"]
    return [
        ("Network", record["network"]),
        ("Data", record["data"]),
        ("Batch", units.count(record["batch"])),
        ("Steps", f"{record['steps']} in {record['rounds']} rounds, the same batches for all"),
        ("Optimiser", f"SGD, learning rate {record['learning_rate']:g}, momentum 0.9, fp32"),
        ("Accuracy on", f"{units.count(record['tested'])} test samples, after the same steps"),
        ("Processor", str(found["name"])),
        ("Threads", str(found["threads"])),
        ("System", str(found["os"])),
        *versions,
    ]
