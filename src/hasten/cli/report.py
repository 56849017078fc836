"""``hasten report``: the report of a bundle or a training run, in the terminal or as a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

NAME = "report"
EXAMPLES = (
    "Examples: hasten report fast.hasten · hasten report fast.hasten --html report.html · "
    "hasten report run"
)


def command(
    thing: Annotated[Path, typer.Argument(help="A bundle, or the folder of a training run.")],
    html: Annotated[Path | None, typer.Option(help="Write the HTML page here.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the main picture as SVG here.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the main picture as PNG here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The evidence on stdout.")] = False,
) -> None:
    """Show what was tried, measured and decided; or write it as a page or a picture.

    Of a training run, the page in its folder is written anew.
    """
    from hasten.training.folder import is_run

    tell = _run if is_run(thing) else _bundle
    tell(thing, Wanted(html, svg, png, as_json))


@dataclass(frozen=True)
class Wanted:
    """What to write, and where."""

    html: Path | None
    svg: Path | None
    png: Path | None
    as_json: bool

    def write(
        self, html: Callable[[], str], svg: Callable[[], str], png: Callable[[], bytes]
    ) -> bool:
        """Write what was asked for, and say so; whether anything was."""
        if self.html:
            self.html.write_text(html())
        if self.svg:
            self.svg.write_text(svg())
        if self.png:
            self.png.write_bytes(png())
        written = [str(path) for path in (self.html, self.svg, self.png) if path]
        if written:
            typer.echo("wrote " + ", ".join(written))
        return bool(written)


def _bundle(path: Path, wanted: Wanted) -> None:
    from rich.console import Console

    from hasten import report
    from hasten.manifest import opened, read_manifest

    with opened(path) as folder:
        evidence = read_manifest(folder)["evidence"]
    if wanted.as_json:
        typer.echo(json.dumps(evidence))
        return
    if wanted.write(
        lambda: report.html(evidence),
        lambda: report.figure_svg(evidence),
        lambda: report.figure_png(evidence),
    ):
        return
    console = Console()
    console.print(report.summary(evidence))
    console.print(report.table(evidence))
    typer.echo(f"page  {path / 'report.html'}")


def _run(path: Path, wanted: Wanted) -> None:
    from hasten import report
    from hasten.cli import _terminal
    from hasten.training.folder import RunFolder

    folder = RunFolder(path)
    record, epochs = folder.finished(), folder.metrics()
    if wanted.as_json:
        typer.echo(json.dumps({**record, "epochs": epochs}))
        return
    if not wanted.write(
        lambda: report.run_html(record, epochs, folder.examples()),
        lambda: report.run_svg(record, epochs),
        lambda: report.run_png(record, epochs),
    ):
        folder.write_report()
        _terminal.show_run(record, epochs, path)
