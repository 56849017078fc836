"""How a run went: the curves of its page, and where the time of a step goes."""

from __future__ import annotations

from hasten.report import units
from hasten.report.figures.curves import Panel
from hasten.report.runs.record import Epoch, RunRecord
from hasten.report.sections.speed import Part

COLOURS = {"data": "f32", "forward": "int8", "backward": "bf16", "optimizer": "f16"}
"""Colours of the palette that are told apart under every colour blindness."""


def over_epochs(run: RunRecord) -> list[Panel]:
    return _curves(run, "Epoch")


def over_seconds(run: RunRecord) -> list[Panel]:
    return _curves(run, "Seconds")


def _curves(run: RunRecord, across: str) -> list[Panel]:
    """Training loss and the validation metric."""
    key, name, metric = across.lower(), run.raw["metric"], run.metric
    panels = []
    losses = [
        (float(line[key]), line["loss"], f"epoch {line['epoch']}: {units.digits(line['loss'], 4)}")
        for line in run.epochs
        if units.finite(line["loss"]) is not None
    ]
    if losses:
        curve = [(a, b) for a, b, _ in losses]
        panels.append(Panel("Loss, training", across, curve, losses))
    marks = [
        (float(line[key]), line[name], f"epoch {line['epoch']}: {metric.value(line[name])}")
        for line in run.epochs
        if units.finite(line[name]) is not None
    ]
    target = run.raw.get("target")
    best = (float(run.best[key]), run.best[name]) if run.best else None
    title = f"{metric.title[:1].upper()}{metric.title[1:]}, validation"
    level = None if target is None else (target, f"target {metric.value(target)}")
    curve = [(a, b) for a, b, _ in marks]
    if marks:
        panels.append(Panel(title, across, curve, marks, best, level, metric.share))
    return panels


def rates(run: RunRecord) -> list[Panel]:
    """Learning rate and speed over the epochs."""
    panels, planned = [], run.raw.get("schedule") or []
    ends = [_end(line) for line in run.epochs]
    if planned:
        last = run.raw["epochs"] / (len(planned) - 1)
        curve = [(n * last, rate) for n, rate in enumerate(planned)]
        panels.append(Panel("Learning rate", "Epoch", curve, ends, from_zero=True))
    speeds = [
        (float(line["epoch"]), line["samples_per_second"])
        for line in run.epochs
        if line.get("samples_per_second")
    ]
    if speeds:
        marks = [(a, b, f"epoch {a:g}: {units.count(b)}") for a, b in speeds]
        panels.append(Panel("Samples per second", "Epoch", speeds, marks, from_zero=True))
    return panels


def _end(line: Epoch) -> tuple[float, float, str]:
    rate = float(line["learning_rate"])
    return float(line["epoch"]), rate, f"end of epoch {line['epoch']}: {units.digits(rate)}"


def split(run: RunRecord) -> list[Part]:
    """The parts of a step."""
    seconds = (run.raw.get("time_split") or {}).get("seconds") or {}
    total = sum(seconds.values())
    known = [(name, seconds[name]) for name in COLOURS if total and name in seconds]
    return [
        Part(name, COLOURS[name], value / total, f"{units.percent(value / total)}, {told}")
        for name, value in known
        if (told := units.duration(value))
    ]


def split_note(run: RunRecord) -> str:
    """How it was measured, or why it was not."""
    found = run.raw.get("time_split") or {}
    if "error" in found:
        return f"It could not be measured: {found['error']}"
    if not found:
        return "It was not measured."
    step = sum(found["seconds"].values())
    return (
        f"Mean of {found['steps']} steps of {found['batch']} samples, taken after training with "
        f"the setup that trained: {units.duration(step)} a step. Data: the wait for a batch. "
        "Forward: augmentation, network and loss. Optimizer: all the rest."
    )
