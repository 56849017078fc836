"""``hasten doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

NAME = "doctor"
EXAMPLES = "Examples: hasten doctor · hasten doctor --fast · hasten doctor --json"
COLOURS = {"ok": "green", "missing": "yellow", "broken": "red", "unknown": "dim"}


def command(
    fast: Annotated[bool, typer.Option("--fast", help="Do not try to import anything.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Examine the machine, the frameworks and every plug-in; say what mends what is broken."""
    from hasten.doctor import examine

    findings = examine(deep=not fast)
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("area", "what", "", "detail", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.status]
        table.add_row(
            finding.area,
            finding.name,
            f"[{colour}]{finding.status}[/]",
            escape(finding.detail),
            escape(finding.fix),
        )
    Console().print(table)
