"""``hasten report``: the report of a bundle, in the terminal or as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "report"
EXAMPLES = "Examples: hasten report fast.hasten · hasten report fast.hasten --html report.html"


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    html: Annotated[Path | None, typer.Option(help="Write the HTML page here.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the main picture as SVG here.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the main picture as PNG here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The evidence on stdout.")] = False,
) -> None:
    """Show what was tried, measured and decided; or write it as a page or a picture."""
    from rich.console import Console

    from hasten import report
    from hasten.manifest import opened, read_manifest

    with opened(bundle) as folder:
        evidence = read_manifest(folder)["evidence"]
    if as_json:
        typer.echo(json.dumps(evidence))
        return
    if html:
        html.write_text(report.html(evidence))
    if svg:
        svg.write_text(report.figure_svg(evidence))
    if png:
        png.write_bytes(report.figure_png(evidence))
    written = [str(path) for path in (html, svg, png) if path]
    if written:
        typer.echo("wrote " + ", ".join(written))
        return
    console = Console()
    console.print(report.summary(evidence))
    console.print(report.table(evidence))
    typer.echo(f"page  {bundle / 'report.html'}")
