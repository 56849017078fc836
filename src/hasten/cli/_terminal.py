"""What the verbs share with the terminal: progress, tables, and reading small options."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, Group
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hasten.cli._live import Drawn
from hasten.errors import BadInput
from hasten.progress import Progress
from hasten.types import Trial

STATUS = {"built": "[green]built[/]", "reference": "[cyan]reference[/]", "failed": "[red]failed[/]"}


def size(text: str) -> tuple[str, int]:
    """``height=640`` as a pair."""
    name, _, value = text.partition("=")
    if not name or not value.isdigit():
        raise BadInput(f"Cannot read the size '{text}'. Write it as name=640.")
    return name, int(value)


def stem(model: str) -> str:
    """A short name for what a model's bundle is called."""
    if ":" in model and not Path(model).exists():
        return model.rpartition(":")[2]
    return Path(model).stem


def command_line() -> str:
    """The command as the user typed it."""
    return "hasten " + " ".join(map(shlex.quote, sys.argv[1:]))


class Live(Drawn, Progress):
    """Live progress on standard error: what is being done, the last candidates, the best so far."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self.stage_text, self.doing_text, self.best_text = "", "", ""
        self.rows: list[str] = []
        self.step, self.total = 0, 0
        self.ends: float | None = None

    def _draw(self) -> Group:
        left = f" · {max(0, self.ends - time.monotonic()):.0f} s left" if self.ends else ""
        count = f" {self.step}/{self.total}" if self.total else ""
        head = Text.from_markup(f"[bold]{self.stage_text}[/]{count} · {self.doing_text}{left}")
        lines: list[Any] = [Text.from_markup(row) for row in self.rows[-8:]]
        if self.best_text:
            lines.append(Text.from_markup(f"[green]best so far:[/] {self.best_text}"))
        return Group(*lines, Spinner("dots", text=head))

    def stage(self, text: str, total: int | None = None) -> None:
        self.stage_text, self.step, self.total, self.doing_text = text, 0, total or 0, ""
        self._plain(text)

    def doing(self, text: str) -> None:
        self.doing_text = text
        self.step += 1

    def done(self, trial: Trial) -> None:
        speed = f"{trial.seconds_per_call * 1e3:.2f} ms" if trial.seconds_per_call else ""
        why = f" [dim]{trial.error[:90]}[/]" if trial.error else ""
        row = f"  {STATUS.get(trial.status, trial.status):<10} {trial.plan.name} {speed}{why}"
        self.rows.append(row)
        self._plain(Text.from_markup(row).plain)

    def best(self, text: str) -> None:
        self.best_text = text

    def note(self, text: str) -> None:
        self.rows.append(f"  [yellow]{text}[/]")
        self._plain(f"  {text}")

    def deadline(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds


def show_plans(found: Any, as_json: bool) -> None:
    """The plans of a dry run."""
    if as_json:
        import json

        typer.echo(json.dumps(found.to_json()))
        return
    table = Table(title=f"{len(found.plans)} plans, about {found.minutes:.1f} minutes")
    for column in ("#", "plan", "seconds (estimate)"):
        table.add_column(column, justify="right" if column != "plan" else "left")
    for index, (plan, seconds) in enumerate(found.plans, 1):
        table.add_row(str(index), plan.name, f"{seconds:.0f}")
    console = Console()
    console.print(table)
    for why in found.pruned:
        console.print(f"[dim]not tried: {why}[/]")


def show_run(record: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A training run that has ended: verdict, tables, and the next step."""
    from hasten import report

    page = path / "report.html"
    there = page if page.exists() else f"pip install 'hasten[report]', then: hasten report {path}"
    Console().print(report.run_summary(record, epochs, path, there))


def show_result(result: Any) -> None:
    """The verdict, the table, and the next step."""
    from hasten import report

    page = result.path / "report.html"
    Console().print(report.summary(result.evidence, result.path, page if page.exists() else None))
