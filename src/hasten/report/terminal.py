"""The terminal's share of the report: a short summary and the table of all candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hasten.report import units
from hasten.report.record import Record
from hasten.types import Trial

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

VERDICT_STYLES = {
    "equivalent": "green",
    "proven": "green",
    "unproven": "yellow",
    "broken": "red",
}


def summary(
    record: Record, bundle: str | Path | None = None, report: str | Path | None = None
) -> RenderableType:
    """The verdict, the rows that matter, and what to do next."""
    from rich.console import Group
    from rich.text import Text

    verdict = record.raw["verdict"]
    tone = "bold yellow" if record.kept_original else "bold green"
    parts: list[RenderableType] = [Text(verdict["sentence"], tone)]
    reason = verdict.get("reason") or ""
    if reason not in verdict["sentence"]:
        parts.append(Text(reason))
    if verdict.get("interrupted"):
        parts.append(Text("The search was interrupted. This is the best it had found.", "yellow"))
    parts += [Text(f"Warning: {warning}", "yellow") for warning in verdict.get("warnings") or []]
    who = (record.reference, record.baseline, record.winner, record.next_best)
    unique = list(dict.fromkeys(record.number(trial) for trial in who if trial))
    rows = [record.trials[number - 1] for number in unique]
    parts += [Text(), _short_table(record, rows), *_places(bundle, report)]
    return Group(*parts)


def _short_table(record: Record, trials: Sequence[Trial]) -> Table:
    """One row per trial, its name below its role so that 80 columns are enough."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
    _footnote(table, record, trials)
    table.add_column("")
    _figure_columns(table, record)
    for trial in trials:
        role = "next best" if trial is record.next_best else record.role(trial)
        name, *figures = _cells(record, trial)
        who = Text.assemble(role, "\n", (name.plain, "dim"), overflow="fold")
        table.add_row(who, *figures, style=_style(record, trial))
    return table


def _figure_columns(table: Table, record: Record) -> None:
    heads = {"latency": "time", "throughput": "per second", "size": "size"}
    for name in (heads[record.quantity.objective], "ratio", "interval", record.metric.title):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)


def _cells(record: Record, trial: Trial) -> list[Text]:
    """Name, figure, ratio, interval, quality and verdict of one trial."""
    from rich.text import Text

    ratio = record.ratio(trial)
    value = ratio.value if ratio else 1.0 if trial is record.reference else None
    verdict = record.verdict(trial)
    return [
        Text(record.short(trial)),
        Text(record.quantity.text(record.quantity.of(trial))),
        Text(units.times(value)),
        Text(units.interval(ratio)),
        Text(record.metric.value(record.value(trial)) + "*" * _other_samples(record, trial)),
        Text("" if verdict == "reference" else verdict, VERDICT_STYLES.get(verdict, "")),
    ]


def _other_samples(record: Record, trial: Trial) -> bool:
    """Whether a trial was judged on the selection samples where the winner has a test behind it."""
    own, best = record.score(trial), record.winner and record.score(record.winner)
    return bool(own and best) and own.split != best.split


def _footnote(table: Table, record: Record, trials: Iterable[Trial]) -> None:
    if any(_other_samples(record, trial) for trial in trials):
        table.caption = "* on the selection samples; the winner on those of the test"
        table.caption_justify = "left"


def _style(record: Record, trial: Trial) -> str:
    return "bold" if trial is record.winner else ""


def _places(bundle: str | Path | None, report: str | Path | None) -> list[RenderableType]:
    """Where bundle and report lie, and the command that comes next."""
    from rich.text import Text

    lines = [("Bundle", bundle), ("Report", report), ("Next", bundle and f"hasten bench {bundle}")]
    said = [Text.assemble((f"{name:<8}", "dim"), str(place)) for name, place in lines if place]
    return [Text(), *said] if said else []


def table(record: Record) -> Table:
    """Every candidate, fastest first, with why those that failed did."""
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    _footnote(found, record, record.trials)
    found.add_column("#", justify="right")
    found.add_column("candidate", overflow="fold", min_width=16)
    _figure_columns(found, record)
    found.add_column("outcome", overflow="fold")
    for trial in record.trials:
        number = Text(str(record.number(trial)), "dim")
        outcome = Text(record.role(trial))
        if reason := record.reason(trial):
            outcome.append(f": {_first_line(reason)}", "dim")
        style = _style(record, trial)
        found.add_row(number, *_cells(record, trial), outcome, style=style)
    return found


def _first_line(text: str, most: int = 160) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= most else line[: most - 1] + "…"
