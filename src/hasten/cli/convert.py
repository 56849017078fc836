"""``hasten convert``: the same model in another file format, checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hasten.cli._source import Interpreter, Reference

NAME = "convert"
EXAMPLES = (
    "Examples: hasten convert model.keras -o model.onnx · "
    "hasten convert net.prototxt --weights net.caffemodel -o net.pt2 · "
    "hasten convert resnet-symbol.json --shape data=batch,3,224,224 -o resnet.xml"
)


def command(
    model: Annotated[str, typer.Argument(help="A model as for optimize.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file: .onnx, .xml (OpenVINO IR) or .pt2.")
    ],
    weights: Annotated[
        str | None, typer.Option(help="Weights, where they are a file of their own.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", help="An input: x=batch,3,224,224. Repeatable."),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Read files that may run code.")] = False,
    reference: Reference = None,
    python: Interpreter = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write a model in another format; free dimensions stay free, and the outputs are compared."""
    from hasten.convert import convert
    from hasten.search.settings import shape as read_shape

    found = convert(
        model,
        out,
        weights=weights,
        trust=trust,
        shapes=tuple(map(read_shape, shape or ())),
        reference=reference,
        python=python,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(found))
        return
    for step in found["loaded"]:
        typer.echo(f"loaded    {step['note'] or 'as it is'}")
    if found["difference"] is not None:
        told = f"outputs differ by {found['difference']:.1e} of their range"
        typer.echo(f"compared  {told}")
    files = ", ".join(found["files"])
    typer.echo(f"wrote     {files} ({found['bytes'] / 1e6:.1f} MB, {found['seconds']:.1f} s)")
    trusted = " --trust" if out.suffix == ".pt2" else ""
    typer.echo(f"\nnext  hasten optimize {out}{trusted}")
