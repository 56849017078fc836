"""The report: one HTML page, its main picture, and the terminal tables, from recorded evidence.

Every function takes the evidence record that a search or a bundle holds (plain JSON), ``run_html``
and its siblings what the folder of a training run does. Nothing is measured or judged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hasten.report.figures import png, svg
from hasten.report.figures.scene import Scene, shorten
from hasten.report.record import Record
from hasten.report.units import times

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

Evidence = Mapping[str, Any]

__all__ = [
    "figure_png",
    "figure_svg",
    "frameworks_html",
    "html",
    "run_html",
    "run_png",
    "run_summary",
    "run_svg",
    "summary",
    "table",
]


def html(evidence: Evidence) -> str:
    """The report as one HTML file that opens offline. Needs the extra ``report``."""
    from hasten.report.page import render

    return render(Record(evidence))


def run_html(record: Evidence, epochs: Sequence[Evidence], examples: Evidence) -> str:
    """The page of a training run: its ``run.json``, its epochs, and its worst mistakes."""
    from hasten.report.runs.page import render
    from hasten.report.runs.record import RunRecord

    return render(RunRecord(record, epochs, examples))


def frameworks_html(record: Evidence) -> str:
    """The page of a comparison of frameworks. Needs the extra ``report``."""
    from hasten.report.frameworks.page import render

    return render(record)


def run_svg(record: Evidence, epochs: Sequence[Evidence]) -> str:
    """A run's main picture, loss and metric by epoch, as an SVG file."""
    return svg.draw(_run_picture(record, epochs), alone=True)


def run_png(record: Evidence, epochs: Sequence[Evidence]) -> bytes:
    """The same as a PNG file."""
    return png.draw(_run_picture(record, epochs))


def run_summary(
    record: Evidence,
    epochs: Sequence[Evidence],
    folder: str | Path | None = None,
    page: str | Path | None = None,
) -> RenderableType:
    """What the terminal shows of a run that has ended."""
    from hasten.report.runs.record import RunRecord
    from hasten.report.runs.terminal import summary as short

    return short(RunRecord(record, epochs, {}), folder, page)


def figure_svg(evidence: Evidence) -> str:
    """The main picture as an SVG file: every candidate by quality and speed."""
    return svg.draw(_picture(Record(evidence)), alone=True)


def figure_png(evidence: Evidence) -> bytes:
    """The main picture as a PNG file, 1,920 pixels wide, on a light background."""
    return png.draw(_picture(Record(evidence)))


def table(evidence: Evidence) -> RenderableType:
    """Every candidate as a table for the terminal, fastest first."""
    from hasten.report.terminal import table as candidates

    return candidates(Record(evidence))


def summary(
    evidence: Evidence, bundle: str | Path | None = None, report: str | Path | None = None
) -> RenderableType:
    """What the terminal shows after a search: verdict, four rows, where things lie, what next."""
    from hasten.report.terminal import summary as short

    return short(Record(evidence), bundle, report)


def _run_picture(record: Evidence, epochs: Sequence[Evidence]) -> Scene:
    from hasten.report.runs.page import main_picture
    from hasten.report.runs.record import RunRecord

    return main_picture(RunRecord(record, epochs, {}))


def _picture(record: Record) -> Scene:
    from hasten.report.page import main_picture

    return main_picture(record)(record, heading=_heading(record))


def _heading(record: Record) -> tuple[str, str]:
    """What a picture that stands alone says about itself."""
    ratio, workload = record.final_ratio(), record.workload
    name = shorten(str((record.raw.get("model") or {}).get("name") or "model"), 17.0, 420.0)
    target = (record.raw.get("machine") or {}).get("target") or {}
    said = "original kept" if record.kept_original else ""
    if ratio and not record.kept_original:
        sure = f"{100 * ratio.confidence:.0f} % interval {ratio.low:.2f} to {ratio.high:.2f}"
        said = f"{times(ratio.value)} {record.quantity.gain} ({sure})"
    threads = "all cores" if workload.threads is None else f"{workload.threads} threads"
    where = [str(target.get("name") or workload.target), threads, f"batch {workload.batch}"]
    return f"{name}: {said}" if said else name, ", ".join(where)
