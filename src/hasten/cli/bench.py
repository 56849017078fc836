"""``hasten bench``: time a bundle again, here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "bench"
EXAMPLES = "Examples: hasten bench fast.hasten · hasten bench fast.hasten --seconds 30 --json"


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 10.0,
    batch: Annotated[int | None, typer.Option(help="Another batch size.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load a bundle that holds code.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Time a bundle on this machine and say what changed since it was measured."""
    from hasten.bench import bench

    found = bench(bundle, seconds=seconds, batch=batch, trust=trust)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(
        f"{found['median_seconds'] * 1e3:.3f} ms per call "
        f"(p5 {found['p5_seconds'] * 1e3:.3f}, p95 {found['p95_seconds'] * 1e3:.3f}; "
        f"{found['calls']} calls in {found['rounds']} rounds, batch {found['batch']}), "
        f"{found['samples_per_second']:.1f} samples/s"
    )
    for line in found["notes"]:
        typer.echo(line)
