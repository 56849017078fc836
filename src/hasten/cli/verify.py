"""``hasten verify``: is a bundle whole, does it compute what was proven, where is it lossy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "verify"
EXAMPLES = "Examples: hasten verify fast.hasten · hasten verify fast.hasten --layers"


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    layers: Annotated[
        bool, typer.Option("--layers", help="SQNR per layer: where accuracy is lost.")
    ] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Load a bundle that holds code.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check hashes, load it, run the samples packed with it, and compare with what was recorded."""
    from rich.console import Console
    from rich.table import Table

    from hasten.verify import verify

    found = verify(bundle, trust=trust)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        raise typer.Exit(0 if found.ok else 1)
    for check in found.checks:
        typer.echo(f"{'ok ' if check.ok else 'NO '} {check.why}")
    if layers:
        table = Table("layer", "SQNR (dB)", title="where accuracy is lost")
        for name, decibel in found.layers.items():
            table.add_row(name, f"{decibel:.1f}")
        Console().print(table if found.layers else "No layer of this bundle was changed.")
    raise typer.Exit(0 if found.ok else 1)
