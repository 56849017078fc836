"""``hasten inspect``: what a model, a bundle or a run is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hasten.cli._source import Interpreter, Reference

NAME = "inspect"
EXAMPLES = "Examples: hasten inspect model.onnx · hasten inspect fast.hasten --json"


def command(
    thing: Annotated[
        str, typer.Argument(help="A bundle, a training run's folder, or a model as for optimize.")
    ],
    weights: Annotated[str | None, typer.Option(help="Weights for a factory.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option("--shape", help="An input of a factory.")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Read files that may run code.")] = False,
    reference: Reference = None,
    python: Interpreter = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show inputs, outputs, parameters, multiply-adds and what is known of it."""
    from hasten.describe import bundle, model, run
    from hasten.search.settings import shape as read_shape
    from hasten.training.folder import is_run

    found: dict[str, Any]
    if (Path(thing) / "manifest.json").exists() or thing.endswith(".zip"):
        found = bundle(Path(thing))
    elif is_run(thing):
        found = run(Path(thing))
    else:
        shapes = tuple(map(read_shape, shape or ()))
        found = model(
            thing,
            weights=weights,
            trust=trust,
            shapes=shapes,
            reference=reference,
            python=python,
        )
    if as_json:
        typer.echo(json.dumps(found))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in found["shown"].items():
        table.add_row(f"[bold]{key}[/]", escape(value))
    Console().print(table)
    typer.echo(f"\nnext  {found['next']}")
