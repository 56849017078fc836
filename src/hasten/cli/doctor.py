"""``hasten doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

NAME = "doctor"
EXAMPLES = "Examples: hasten doctor · hasten doctor --fast · hasten doctor --json"
MARKS = {"ok": "[green]ok[/]", "missing": "[yellow]--[/]", "broken": "[red]!![/]", "unknown": "??"}


def command(
    fast: Annotated[bool, typer.Option("--fast", help="Do not try to import anything.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Examine the machine, the frameworks and every plug-in; say what mends what is broken."""
    from hasten.doctor import document, examine, next_steps

    findings = examine(deep=not fast)
    if as_json:
        typer.echo(json.dumps(document(findings)))
        return
    _show(findings)
    for step in next_steps(findings):
        typer.echo(f"next  {step}")


def _show(findings: list[Any]) -> None:
    """One block per area; under each finding, in the same column, what to do about it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for area in dict.fromkeys(finding.area for finding in findings):
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(width=2)
        table.add_column(no_wrap=True, min_width=16)
        table.add_column(overflow="fold")
        for finding in (f for f in findings if f.area == area):
            table.add_row(MARKS[finding.status], finding.name, escape(finding.detail))
            if finding.fix:
                table.add_row("", "", f"[cyan]{escape(finding.fix)}[/]")
        console.print(f"[bold]{area}[/]")
        console.print(table)
