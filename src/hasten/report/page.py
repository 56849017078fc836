"""The report as one HTML file: figures and sections put into the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import NotInstalled
from hasten.report.figures import candidates as plotted
from hasten.report.figures import layers, palette, ranking, roofline, rounds, svg, tradeoff
from hasten.report.figures.scene import Scene
from hasten.report.record import Record
from hasten.report.sections import candidates, conditions, headline, quality, speed

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
WIDE, NARROW = 960.0, 350.0


def render(record: Record) -> str:
    """The whole page; it needs no network and no other file."""
    template = _environment().get_template("page.html.j2")
    from markupsafe import Markup

    # The templates' own text is trusted; every value from the record is escaped by autoescape.
    style = Markup(palette.variables() + (FOLDER / "page.css").read_text("utf-8"))
    script = Markup((FOLDER / "page.js").read_text("utf-8"))
    return template.render(style=style, script=script, **context(record))


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise NotInstalled.extra("the report", "jinja2", "report") from error
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def main_picture(record: Record) -> Callable[..., Scene]:
    """The trade-off where quality tells candidates apart, else the ranking by speed."""
    return tradeoff.scene if plotted.informative(record) else ranking.scene


def context(record: Record) -> dict[str, Any]:
    """Everything the template shows."""
    raw = record.raw
    classes = quality.class_rows(record)
    shown, folded = quality.folded(record, classes)
    return {
        "record": record,
        "raw": raw,
        "verdict": raw["verdict"],
        "title": (raw.get("model") or {}).get("name") or "model",
        "limit": record.metric.limit(record.limit),
        "why_limit": raw["limit"].get("why") or "",
        "tiles": headline.tiles(record),
        "changes": headline.changes(record),
        "picture": _figure(lambda width: main_picture(record)(record, width)),
        "trade_off": plotted.informative(record),
        "waterfall": speed.waterfall(record),
        "scores": quality.score_rows(record),
        "classes": shown,
        "all_classes": folded,
        "lost": candidates.lost(record),
        "skipped": candidates.skipped(record),
        "rows": candidates.rows(record),
        "race": conditions.race(record),
        "race_figure": _race(record),
        "machine": conditions.machine(record),
        "model": conditions.model(record),
        "data": conditions.data(record),
        **_of_winner(record),
        **_of_layers(record),
    }


def _of_winner(record: Record) -> dict[str, Any]:
    """The winner's kernels and making."""
    trial = record.winner
    if trial is None:
        return {"kernels": [], "shares": [], "above_peak": [], "roofline": None, "plan": []}
    peaks: Mapping[str, float] = (record.raw.get("machine") or {}).get("peaks") or {}
    counted = roofline.counted(trial.kernels)
    return {
        "kernels": speed.kernel_rows(record, trial),
        "shares": speed.shares(trial),
        "above_peak": speed.above_peak(record, trial),
        "roofline": counted and _figure(lambda w: roofline.scene(trial.kernels, peaks, w)),
        "left_out": len(counted) - len(roofline.shown(trial.kernels)),
        "plan": conditions.plan(trial),
    }


def _of_layers(record: Record) -> dict[str, Any]:
    """The layers of the winner, or of the candidate whose layers were compared."""
    trial = record.layered
    if trial is None or not layers.known(trial.layers):
        return {"layers": [], "layer_figure": None, "layered": ""}
    return {
        "layers": quality.layer_rows(trial),
        "layer_figure": _figure(lambda width: layers.scene(trial.layers, width)),
        "layered": "the winner" if trial is record.winner else record.short(trial),
    }


def _race(record: Record) -> Any:
    """The final rounds as a figure, where winner and reference both have them."""
    turns = record.final.get("rounds") or {}
    before, after = (turns.get(record.raw.get(key)) for key in ("reference", "winner"))
    if not before or not after or record.kept_original:
        return None
    pairs = rounds.paired(before, after)
    return _figure(lambda width: rounds.scene(pairs, record.final_ratio(), width))


def _figure(draw: Callable[[float], Scene]) -> Any:
    """A figure drawn twice: the style sheet shows the one that suits the screen."""
    from markupsafe import Markup

    wide, narrow = draw(WIDE), draw(NARROW)
    drawn = svg.draw(wide, css_class="wide") + svg.draw(narrow, css_class="narrow")
    return Markup(drawn)  # drawn by svg.py, which escapes every text
