"""The report of a search as one HTML file: figures and sections put into the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hasten.report import frame
from hasten.report.figures import candidates as plotted
from hasten.report.figures import layers, ranking, roofline, rounds, tradeoff
from hasten.report.figures.scene import Scene
from hasten.report.record import Record
from hasten.report.sections import candidates, conditions, headline, quality, speed


def render(record: Record) -> str:
    """The whole page."""
    return frame.render("page.html.j2", context(record))


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
        "warnings": _warnings(raw["verdict"]),
        "command": raw["command"],
        "title": (raw.get("model") or {}).get("name") or "model",
        "limit": record.metric.limit(record.limit),
        "why_limit": raw["limit"].get("why") or "",
        "tiles": headline.tiles(record),
        "changes": headline.changes(record),
        "picture": frame.figure(lambda width: main_picture(record)(record, width)),
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


def _warnings(verdict: Mapping[str, Any]) -> list[str]:
    said = ["The search was interrupted. This is the best it had found."]
    return [*(said if verdict.get("interrupted") else []), *(verdict.get("warnings") or [])]


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
        "roofline": counted and frame.figure(lambda w: roofline.scene(trial.kernels, peaks, w)),
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
        "layer_figure": frame.figure(lambda width: layers.scene(trial.layers, width)),
        "layered": "the winner" if trial is record.winner else record.short(trial),
    }


def _race(record: Record) -> Any:
    """The final rounds as a figure, where winner and reference both have them."""
    turns = record.final.get("rounds") or {}
    before, after = (turns.get(record.raw.get(key)) for key in ("reference", "winner"))
    if not before or not after or record.kept_original:
        return None
    pairs = rounds.paired(before, after)
    return frame.figure(lambda width: rounds.scene(pairs, record.final_ratio(), width))
