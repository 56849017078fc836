"""The head of a run's page: the verdict, what to know beside it, and the figures that matter."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from hasten import stats
from hasten.report import units
from hasten.report.runs.record import RunRecord
from hasten.report.sections.headline import Tile
from hasten.training import told

ALPHA = 0.05


def sentence(run: RunRecord) -> str:
    """The verdict in one sentence."""
    title = run.metric.title
    return (
        f"{title[:1].upper()}{title[1:]} {run.metric.value(run.value)} on {units.count(run.n)} "
        f"test samples, read once, after {units.duration(run.raw['seconds'])}"
    )


def folds(run: RunRecord) -> str:
    """The mean over the folds, with its interval."""
    whole, value = run.raw["cross_validation"], run.metric.value
    return (
        f"Cross-validation: mean {run.metric.title} {value(whole['mean'])} over {len(run.folds)} "
        f"folds (95 % interval {value(whole['low'])} to {value(whole['high'])})"
    )


def reason(run: RunRecord) -> str:
    """What stands below it: on what, with what, for how long."""
    raw, parts = run.raw, run.raw["data"]["parts"]
    best = run.best["epoch"] if run.best else None
    chosen = f"; the weights of epoch {best} were the best" if best and len(run.epochs) > 1 else ""
    return (
        f"Trained by recipe {raw['recipe']['name']} on {units.count(parts['train'])} samples of "
        f"{raw['data']['name']}, {units.count(raw['steps'])} steps in {_epochs(len(run.epochs))}"
        f"{chosen}"
    )


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count:,} epochs"


def warnings(run: RunRecord) -> list[str]:
    """What the reader must not overlook."""
    raw, found = run.raw, []
    if raw.get("target") is not None and raw.get("reached_seconds") is None:
        target, best = run.metric.value(raw["target"]), run.metric.value(raw["best"])
        found.append(f"The target {target} was not reached: the best was {best}.")
    if not raw["data"]["parts"]["cleaned"]:
        found += told.copies(raw["data"])
    return found


def remarks(run: RunRecord) -> list[str]:
    """What is good to know of the data."""
    found = run.raw["data"]
    if "tta" in run.raw["test"]:
        mirrored = run.metric.value(run.raw["test"]["tta"])
        return [f"{mirrored} with mirrored answers (--tta), reported apart.", *_told(found)]
    return _told(found)


def _told(found: Mapping[str, Any]) -> list[str]:
    return [*(told.copies(found) if found["parts"]["cleaned"] else []), *told.remarks(found)]


def tiles(run: RunRecord) -> list[Tile]:
    """The headline figures."""
    raw, metric = run.raw, run.metric
    best = f"epoch {run.best['epoch']} of {len(run.epochs)}" if run.best else ""
    found = [
        Tile(f"{metric.title}, test", metric.value(run.value), _interval(run), "winner"),
        _ranked(run),
        Tile(f"{metric.title}, validation", metric.value(raw["best"]), best),
        _target(run),
        Tile("in all", units.duration(raw["seconds"]), _planned(run)),
        _speed(run),
    ]
    return [tile for tile in found if tile]


def _interval(run: RunRecord) -> str:
    """Of an accuracy, Clopper and Pearson's; how sure other metrics are is not known."""
    if run.metric.name != "accuracy" or not run.n:
        return f"{units.count(run.n)} samples"
    right = round(run.value * run.n)
    low = stats.proportion_lower(right, run.n, ALPHA / 2)
    high = stats.proportion_upper(right, run.n, ALPHA / 2)
    return f"95 % interval {100 * low:.2f}–{100 * high:.2f} %, {units.count(run.n)} samples"


def _ranked(run: RunRecord) -> Tile | None:
    value = run.raw.get("mean_average_precision")
    return None if value is None else Tile("mAP, test", units.percent(value, 1), "mean over labels")


def _target(run: RunRecord) -> Tile | None:
    target, reached = run.raw.get("target"), run.raw.get("reached_seconds")
    if target is None:
        return None
    wanted = f"to {run.metric.title} {run.metric.value(target)}"
    if reached is None:
        return Tile(wanted, "not reached", "", "warn")
    return Tile(wanted, units.duration(reached), "on the validation part", "good")


def _planned(run: RunRecord) -> str:
    planned = run.raw.get("planned_seconds")
    return "" if planned is None else f"{units.duration(planned)} of it before the first step"


def _speed(run: RunRecord) -> Tile | None:
    known = [line["samples_per_second"] for line in run.epochs if line.get("samples_per_second")]
    if not known:
        return None
    return Tile("samples per second", units.count(median(known)), "median of the epochs")
