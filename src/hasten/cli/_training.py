"""How a training run looks in the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hasten.training.fit import Progress


class Live(Progress):
    """Epochs as lines; below them the step, samples per second and the time that is left."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True)
        self.quiet = quiet
        self.now = "reading the data"
        self.lines: list[str] = []
        self.began = time.monotonic()
        self.live: RichLive | None = None

    def __enter__(self) -> Live:
        if not self.quiet:
            self.live = RichLive(
                get_renderable=self._draw,
                console=self.console,
                transient=True,
                refresh_per_second=2,
            )
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    def _draw(self) -> Group:
        return Group(*map(Text, self.lines[-12:]), Spinner("dots", text=Text(self.now)))

    def doing(self, text: str) -> None:
        self.now = text
        self._plain(text)

    def note(self, text: str) -> None:
        self.lines.append(f"  {text}")
        self._plain(text)

    def step(self, done: int, total: int, loss: float, per_second: float) -> None:
        self.now = f"step {done}/{total} · loss {loss:.4f} · {per_second:,.0f} samples/s"

    def epoch(self, line: Mapping[str, Any], total: float) -> None:
        name = next(key for key in line if key not in KNOWN)
        loss = "" if line["loss"] is None else f"loss {line['loss']:.4f}  "
        left = (total - line["epoch"]) * line["seconds"] / line["epoch"]
        text = (
            f"epoch {line['epoch']:>3}/{total:g}  {loss}{name} {line[name]:.4f}  "
            f"best {line['best']:.4f}  {line['seconds']:.0f} s, about {max(0, left):.0f} s left"
        )
        self.lines.append(text)
        self._plain(text)

    def _plain(self, text: str) -> None:
        """Without a terminal, plain lines with the time since the start."""
        if self.quiet and not sys.stderr.isatty() and sys.stderr.writable():
            sys.stderr.write(f"{time.monotonic() - self.began:7.1f} s  {text}\n")


KNOWN = ("epoch", "step", "loss", "best", "learning_rate", "seconds")


def show(run: Any) -> None:
    """The verdict, the planner's table, and the next step."""
    record, console = run.record, Console()
    name, test = record["metric"], record["test"]
    parts = record["data"]["parts"]
    console.print(
        Text(
            f"{name} {test['value']:.4f} on {test['n']:,} test samples, read once "
            f"(best on validation {record['best']:.4f}), after {record['seconds']:.0f} s.",
            "bold green",
        )
    )
    if record["target"] is not None:
        console.print(_target_line(record))
    if parts["copies"]:
        what = (
            "were left out" if parts["cleaned"] else "are in use; --remove-copies leaves them out"
        )
        console.print(
            f"[yellow]{parts['copies']:,} training samples are exact copies of validation or test "
            f"samples: they {what}.[/]"
        )
    if "folds" in record:
        console.print()
        console.print(_folds_table(record))
    console.print()
    console.print(_plan_table(record["plan"]))
    if run.path is not None:
        console.print(f"\n[dim]Run     [/]{run.path}")
        console.print(f"[dim]Next    [/]hasten optimize {run.path}")


def _target_line(record: Mapping[str, Any]) -> str:
    name, target = record["metric"], record["target"]
    if record["reached_seconds"] is not None:
        return f"The target {name} {target:g} was reached after {record['reached_seconds']:.0f} s."
    return (
        f"[yellow]The target {name} {target:g} was not reached: the best was "
        f"{record['best']:.4f}. Give more --epochs or another recipe.[/]"
    )


def _folds_table(record: Mapping[str, Any]) -> Table:
    """Every fold, and the mean over them."""
    name, whole = record["metric"], record["cross_validation"]
    table = Table(
        title=f"{name} over {len(record['folds'])} folds: {whole['mean']:.4f} "
        f"[{whole['low']:.4f}, {whole['high']:.4f}]",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for column in ("fold", "validation", "samples", "test", "epochs", "seconds"):
        table.add_column(column, justify="right")
    for number, fold in enumerate(record["folds"], 1):
        table.add_row(
            f"{number} (kept)" if number == record["fold"] else str(number),
            f"{fold['best']:.4f}",
            f"{fold['n']:,}",
            f"{fold['test']:.4f}",
            str(fold["epochs"]),
            f"{fold['seconds']:.0f}",
        )
    return table


def _plan_table(rows: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("speed-up", "factor", "interval", "", "why"):
        table.add_column(column, justify="right" if column in ("factor", "interval") else "left")
    for row in rows:
        ratio = row["ratio"]
        table.add_row(
            row["use"]["name"],
            f"{ratio['value']:.2f}x" if ratio else "",
            f"{ratio['low']:.2f} to {ratio['high']:.2f}" if ratio else "",
            "[green]kept[/]" if row["kept"] else "[dim]left out[/]",
            row["why"],
        )
    return table
