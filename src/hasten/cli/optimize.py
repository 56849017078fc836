"""``hasten optimize``: the main job."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from hasten.cli._source import Interpreter, Reference

NAME = "optimize"
EXAMPLES = (
    "Examples: hasten optimize model.onnx -o fast.hasten · "
    "hasten optimize model.onnx --data samples.npz --max-drop 0.005 --budget 10m · "
    "hasten optimize mynet:build --weights w.safetensors --data images:val/ · "
    "hasten optimize model.onnx --data digits --dry-run"
)


def command(
    model: Annotated[
        str, typer.Argument(help="A .onnx or .pt2 file, or package.module:factory (nn.Module).")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="digits, fashion-mnist, images:FOLDER, videos:FOLDER, file.npz or "
            "package.module:factory. Without it only candidates with equal outputs are tried.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The bundle. Default: <model>.hasten")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="accuracy, top5, f1, mse, mae, agreement, sqnr or package.module:fn."),
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Largest loss of the metric (0.01 = one point).")
    ] = None,
    floor: Annotated[
        float | None, typer.Option(help="Least value of the metric (agreement 0.99, sqnr 30 dB).")
    ] = None,
    objective: Annotated[str, typer.Option(help="latency, throughput or size.")] = "latency",
    batch: Annotated[int, typer.Option(help="Samples per call.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads it may use. Default: all.")
    ] = None,
    target: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    budget: Annotated[str, typer.Option(help="Time for the search: 90s, 5m, 1h.")] = "5m",
    weights: Annotated[
        str | None, typer.Option(help="Weights for a factory: .safetensors, or .pt (no pickle).")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option("--size", help="Size of a free dimension: height=640. Repeatable."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", help="An input of a factory: x=batch,3,224,224. Repeatable."),
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="Only these engines. Repeatable.")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="'unproven' also takes a loss within the limit that is not proven."),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="Memory limit of one candidate in GiB.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the splits and of the order of turns.")] = 0,
    trust: Annotated[
        bool, typer.Option("--trust", help="Read files that may run code (.pt2, pickles).")
    ] = False,
    reference: Reference = None,
    python: Interpreter = None,
    zip_: Annotated[bool, typer.Option("--zip", help="Also write the bundle as one file.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plans and expected minutes; do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Make a model faster on this machine, within an accuracy limit, and prove it.

    Never returns something worse than what came in: if nothing wins, the original is kept and
    the report says why.
    """
    import hasten
    from hasten.cli import _terminal
    from hasten.search.settings import seconds
    from hasten.search.settings import shape as read_shape

    budget_seconds = seconds(budget)
    options = {
        "metric": metric,
        "max_drop": max_drop,
        "floor": floor,
        "objective": objective,
        "batch": batch,
        "threads": threads,
        "target": target,
        "budget": budget_seconds,
        "weights": weights,
        "sizes": dict(map(_terminal.size, size or ())),
        "shapes": tuple(map(read_shape, shape or ())),
        "engines": tuple(engine or ()),
        "accept": tuple(accept or ()),
        "memory_bytes": None if memory is None else _bytes(memory),
        "seed": seed,
        "trust": trust,
        "reference": reference,
        "python": python,
    }
    if dry_run:
        _terminal.show_plans(hasten.plans(model, data, **options), as_json)
        return
    place = out or Path(_terminal.stem(model) + ".hasten")
    with _terminal.Live(quiet=as_json or not sys.stderr.isatty()) as progress:
        result = hasten.optimize(
            model,
            data,
            out=place,
            zip=zip_,
            command=_terminal.command_line(),
            progress=progress,
            **options,
        )
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    else:
        _terminal.show_result(result)
    if result.interrupted:
        raise typer.Exit(130)


def _bytes(gibibytes: float) -> int:
    """A size given in GiB."""
    from hasten.errors import BadInput

    if not 0 < gibibytes < math.inf:
        raise BadInput(f"Cannot use --memory {gibibytes}: it must be above 0. Try 4.")
    return math.ceil(gibibytes * 2**30)
