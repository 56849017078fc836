"""The terminal's share of a run's report: verdict, planner's table, classes, what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hasten.report import units
from hasten.report.runs import conditions, headline, quality
from hasten.report.runs.record import RunRecord

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MOST_CLASSES = 20


def summary(
    run: RunRecord, folder: str | Path | None = None, page: str | Path | None = None
) -> RenderableType:
    """What the terminal shows after a run; ``page`` is where the report lies."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(f"{headline.sentence(run)}.", "bold green"),
        Text(f"{headline.reason(run)}."),
    ]
    if run.raw["target"] is not None and run.raw["reached_seconds"] is not None:
        target, took = run.metric.value(run.raw["target"]), run.raw["reached_seconds"]
        parts.append(Text(f"The target {target} was reached after {units.duration(took)}."))
    parts += [Text(f"Warning: {text}", "yellow") for text in headline.warnings(run)]
    parts += [Text(text, "dim") for text in headline.remarks(run)]
    if run.folds:
        parts += [Text(), Text(f"{headline.folds(run)}."), _folds(run)]
    if run.tried:
        parts += [Text(), _plan(run)]
    if run.changed:
        parts += [Text(f"\nchanges what is learned: {', '.join(run.changed)}")]
    rows = quality.class_rows(run)
    if 0 < len(rows) <= MOST_CLASSES:
        parts += [Text(), _classes(rows)]
    lines = [("Run", folder), ("Report", page), ("Next", folder and f"hasten optimize {folder}")]
    said = [Text.assemble((f"{name:<8}", "dim"), str(place)) for name, place in lines if place]
    return Group(*parts, *([Text(), *said] if said else []))


def _folds(run: RunRecord) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in quality.FOLD_COLUMNS:
        table.add_column(column.lower(), justify="right")
    for row in quality.fold_rows(run):
        table.add_row(*row)
    return table


def _plan(run: RunRecord) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("speed-up", "factor", "interval", "", "why"):
        table.add_column(column, justify="right" if column in ("factor", "interval") else "left")
    for row in conditions.plan(run):
        figures = ["" if text == units.NONE else text for text in (row.factor, row.interval)]
        kept = Text("kept", "green") if row.kept else Text("left out", "dim")
        table.add_row(Text(row.name), *figures, kept, Text(row.why))
    return table


def _classes(rows: list[quality.ClassRow]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("class")
    for column in ("samples", "precision", "recall", "F1", *(["AP"] if rows[0].ranked else [])):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        shares = [text for text, _ in row.shares]
        table.add_row(Text(row.label), units.count(row.n), *shares)
    return table
