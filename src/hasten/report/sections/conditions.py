"""Under which conditions it was measured: the race, the machine, the data, the winner's plan."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from hasten.report import units
from hasten.report.record import NOT_REACHED, Record
from hasten.types import Step, Trial

Facts = list[tuple[str, str]]


def race(record: Record) -> Facts:
    """How the verdict's figures were taken."""
    raw, final = record.raw, record.final
    rounds = final.get("rounds") or {}
    calls = [len(calls) for turns in rounds.values() for calls in turns]
    workload = record.workload
    sizes = [f"{name} {size}" for name, size in workload.sizes]
    threads = "all cores" if workload.threads is None else f"{workload.threads} threads"
    facts = [
        ("Situation", ", ".join([f"batch {workload.batch}", *sizes, threads, workload.target])),
        ("Objective", workload.objective),
        ("Final rounds", _turns(record, len(max(rounds.values(), key=len, default=[])))),
        ("Calls kept of a turn", f"{median(calls):.0f} (median)" if calls else units.NONE),
        ("Disturbed rounds", _told(final.get("disturbed_rounds"))),
        ("Repeated rounds", _told(final.get("repeated_rounds"))),
        ("Candidates", _counts(record)),
        ("Test samples were read", _times(raw.get("test_readings"))),
        ("Budget", units.duration(raw.get("budget_seconds"))),
    ]
    spent = raw.get("duration") or {}
    facts += [(f"Time: {name}", units.duration(seconds)) for name, seconds in spent.items()]
    return [(label, value) for label, value in facts if value != units.NONE]


def _turns(record: Record, number: int) -> str:
    ratio = record.final_ratio()
    if not number:
        return units.NONE
    sure = f", {units.percent(ratio.confidence)} confidence" if ratio else ""
    return f"{number} alternating, in shuffled order{sure}"


def _told(value: Any) -> str:
    return units.NONE if value is None else str(value)


def _times(value: int | None) -> str:
    return units.NONE if value is None else "once" if value == 1 else f"{value} times"


def _counts(record: Record) -> str:
    unreached = sum(trial.status in NOT_REACHED for trial in record.trials)
    cached = sum(trial.cached for trial in record.trials)
    parts = [
        f"{len(record.trials)} planned",
        f"{len(record.measured)} measured",
        f"{len(record.lost)} failed or broke the limit",
    ]
    parts += [f"{unreached} not reached"] if unreached else []
    return ", ".join([*parts, f"{cached} built before"] if cached else parts)


def machine(record: Record) -> Facts:
    """What it ran on, as probed and measured."""
    raw = record.raw.get("machine") or {}
    target = raw.get("target") or {}
    caches = target.get("caches") or {}
    facts = [
        ("Processor", str(target.get("name") or units.NONE)),
        ("Architecture", str(target.get("arch") or units.NONE)),
        ("Cores", _told(target.get("cores"))),
        ("Instructions", ", ".join(target.get("isa") or []) or units.NONE),
        ("Memory", units.size(target.get("memory_bytes"))),
        ("Caches", ", ".join(f"{k} {units.size(v)}" for k, v in caches.items()) or units.NONE),
        *(
            (f"Measured {k} peak", units.rate(v, "op/s"))
            for k, v in (raw.get("peaks") or {}).items()
        ),
        ("Measured memory bandwidth", units.rate(raw.get("bandwidth_bytes_per_second"), "B/s")),
        ("Peaks", str(raw.get("peaks_error") or units.NONE)),
        ("System", str(raw.get("os") or units.NONE)),
        ("Python", str(raw.get("python") or units.NONE)),
        ("Versions", _pairs(raw.get("versions") or {})),
        ("Load while measuring", _load(raw.get("load"))),
    ]
    return [(label, value) for label, value in facts if value != units.NONE]


def _load(load: Any) -> str:
    if isinstance(load, list | tuple) and all(isinstance(v, int | float) for v in load):
        return ", ".join(f"{value:.2f}" for value in load) or units.NONE
    return units.NONE if load is None else str(load)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or units.NONE


def model(record: Record) -> Facts:
    """What was given."""
    raw = record.raw.get("model") or {}
    spec = raw.get("spec") or {}
    tensors = {
        side: "; ".join(_tensor(tensor) for tensor in spec.get(side) or [])
        for side in ("inputs", "outputs")
    }
    facts = [
        ("Model", str(raw.get("name") or units.NONE)),
        ("Form", str(raw.get("form") or units.NONE)),
        ("Parameters", units.count(raw.get("parameters"))),
        ("Multiply-adds per sample", units.count(raw.get("macs"))),
        ("Size", units.size(raw.get("size_bytes"))),
        ("Inputs", tensors["inputs"] or units.NONE),
        ("Outputs", tensors["outputs"] or units.NONE),
        ("Traits", ", ".join(raw.get("traits") or []) or units.NONE),
        ("Hash", str(raw.get("hash") or units.NONE)[:16]),
    ]
    return [(label, value) for label, value in facts if value != units.NONE]


def _tensor(raw: Mapping[str, Any]) -> str:
    return f"{raw['name']}: {raw['dtype']}[{', '.join(map(str, raw['shape']))}]"


def data(record: Record) -> Facts:
    """What accuracy was judged on; empty where no data were given."""
    raw = record.raw.get("data")
    if not raw:
        return []
    samples = [f"{units.count(n)} {split}" for split, n in (raw.get("n") or {}).items()]
    read = [f"{units.count(n)} {split}" for split, n in (raw.get("read") or {}).items()]
    facts = [
        ("Data", str(raw.get("name") or units.NONE)),
        ("Source", str(raw.get("source") or units.NONE)),
        ("Licence", str(raw.get("licence") or units.NONE)),
        ("Samples", ", ".join(samples) or units.NONE),
        ("Read at most", ", ".join(read) or units.NONE),
        ("Exact duplicates removed", _told(raw.get("duplicates"))),
        *(("Note", str(note)) for note in raw.get("notes") or []),
    ]
    return [(label, value) for label, value in facts if value != units.NONE]


def plan(trial: Trial) -> Facts:
    """What was done to make the winner, and the settings its runtime reports."""
    done = [
        (f"{number}. {step.family}", _step(step)) for number, step in enumerate(trial.history, 1)
    ]
    facts = [(str(name), str(value)) for name, value in trial.facts.items()]
    return [*done, ("Engine", str(trial.plan.engine)), *facts]


def _step(step: Step) -> str:
    difference = units.finite(step.difference)
    parts = [str(step.use), units.duration(step.seconds)]
    if difference is not None:
        parts.append(f"outputs differ by {units.portion(difference)} of their range")
    return ", ".join([*parts, *([step.note] if step.note else [])])
