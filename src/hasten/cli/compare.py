"""``hasten compare``: which framework is fastest here, by measurement."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

NAME = "compare"
EXAMPLES = (
    "Examples: hasten compare frameworks cnn --data fashion-mnist -o comparison · "
    "hasten compare frameworks --data images:photos --frameworks pytorch,keras_jax"
)


def command(
    what: Annotated[str, typer.Argument(help="frameworks.")],
    recipe: Annotated[
        str | None, typer.Argument(help="cnn, tapered, mlp or sequence. Default: by the data.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="As for train: digits, images:FOLDER, …")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for the record and its page.")
    ] = None,
    frameworks: Annotated[
        str | None, typer.Option(help="Comma-separated names. Default: all that are installed.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps of each.")] = 240,
    rounds: Annotated[int, typer.Option(help="Turns that they are taken in.")] = 8,
    batch: Annotated[
        int | None, typer.Option(help="Samples per step. Default: the recipe's.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="Of SGD. Default: 0.05.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, parts and batches.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train and run one network in every framework that is installed, in turns, and compare."""
    from rich.console import Console
    from rich.table import Table

    from hasten.cli import _terminal
    from hasten.compare import compare_frameworks
    from hasten.errors import UnknownName
    from hasten.report.frameworks import page

    if what != "frameworks":
        raise UnknownName.among("thing to compare", what, ["frameworks"])
    with _terminal.Live(quiet=as_json or not sys.stderr.isatty()) as progress:
        found = compare_frameworks(
            recipe,
            data,
            out=out,
            frameworks=tuple(filter(None, (frameworks or "").split(","))),
            steps=steps,
            rounds=rounds,
            batch=batch,
            learning_rate=learning_rate,
            seed=seed,
            progress=progress,
            command=_terminal.command_line(),
        )
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    record = found.record
    table = Table(*page.COLUMNS, title=f"{record['recipe']} on {record['data']}")
    for rival in page.measured(record):
        table.add_row(*page.cells(rival, record["batch"]))
    Console().print(table)
    for rival in record["rivals"]:
        if rival["status"] == "missing":
            typer.echo(f"not here: {rival['title']}: {rival['fix']}")
        elif rival["status"] == "failed":
            typer.echo(f"failed: {rival['title']}: {rival['why']}")
    typer.echo(page.sentence(record))
    if found.path is not None:
        typer.echo(f"\nreport  {found.path / 'report.html'}")
