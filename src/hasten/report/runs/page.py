"""The page of a training run: figures and sections put into the template."""

from __future__ import annotations

from typing import Any

from hasten.report import frame
from hasten.report.figures import confusion, curves, scatter
from hasten.report.figures.curves import Panel
from hasten.report.figures.scene import Scene
from hasten.report.runs import conditions, headline, progress, quality
from hasten.report.runs.record import RunRecord


def render(run: RunRecord) -> str:
    """The whole page."""
    return frame.render("run.html.j2", context(run))


def main_picture(run: RunRecord, width: float = frame.WIDE) -> Scene:
    """Loss and metric over the epochs."""
    return curves.scene(progress.over_epochs(run), width)


def context(run: RunRecord) -> dict[str, Any]:
    """Everything the template shows."""
    raw = run.raw
    rows = quality.class_rows(run)
    folded = len(rows) > quality.FOLD_FROM
    return {
        "run": run,
        "raw": {"created": "", **raw},
        "title": f"{raw['recipe']['name']} on {raw['data']['name']}",
        "verdict": {"sentence": headline.sentence(run), "reason": headline.reason(run)},
        "warnings": headline.warnings(run),
        "tiles": headline.tiles(run),
        "by_epoch": _panels(progress.over_epochs(run)),
        "by_second": _panels(progress.over_seconds(run)),
        "rates": _panels(progress.rates(run)),
        "split": progress.split(run),
        "split_note": progress.split_note(run),
        "confusion": _confusion(run),
        "folds": quality.fold_rows(run),
        "fold_columns": quality.FOLD_COLUMNS,
        "folds_sentence": headline.folds(run) if run.folds else "",
        "pairs": quality.pairs(run),
        "classes": quality.worst_first(rows) if folded else rows,
        "all_classes": rows if folded else [],
        "outputs": quality.output_rows(run),
        "scatters": _scatters(run),
        "mistakes": quality.mistakes(run),
        "plan": conditions.plan(run),
        "data": conditions.data(run),
        "remarks": headline.remarks(run),
        "settings": conditions.settings(run),
        "machine": conditions.machine(run),
        "command": conditions.command(run),
    }


def _panels(panels: list[Panel]) -> Any:
    return frame.figure(lambda width: curves.scene(panels, width)) if panels else None


def _confusion(run: RunRecord) -> Any:
    table = run.confusion
    if not table:
        return None
    names = [run.name(number) for number in range(len(table))]
    return frame.figure(lambda width: confusion.scene(table, names, width))


def _scatters(run: RunRecord) -> list[Any]:
    named = [(quality.output_name(run, n), found) for n, found in enumerate(quality.points(run))]
    return [_scatter(found, name) for name, found in named]


def _scatter(points: list[tuple[float, float]], name: str) -> Any:
    return frame.figure(lambda width: scatter.scene(points, name, width))
