"""How good the answers are: by class, by label, or by output; and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hasten.report import frame, units
from hasten.report.figures import curves, svg
from hasten.report.runs.record import RunRecord, number

FOLD_FROM, SHOWN = 30, 20
PAIRS = 10


@dataclass(frozen=True)
class ClassRow:
    """One class or label; ``None`` for a share that is not defined. ``taken`` is what it was most
    often taken for."""

    label: str
    n: int
    precision: float | None
    recall: float | None
    f1: float | None
    taken: str = ""
    ranked: tuple[float | None, ...] = ()
    """Average precision, of a label."""

    @property
    def shares(self) -> list[tuple[str, float | None]]:
        """Each as it is written and as it sorts."""
        known = (self.precision, self.recall, self.f1, *self.ranked)
        return [(units.percent(value, 1), value) for value in known]


def class_rows(run: RunRecord) -> list[ClassRow]:
    """Every class or label, in the order of its number."""
    if run.confusion:
        table = run.confusion
        columns = [sum(row[n] for row in table) for n in range(len(table))]
        return [
            _row(run.name(n), row[n], sum(row), columns[n], _taken(run, n, row))
            for n, row in enumerate(table)
        ]
    counts = run.raw.get("labels") or []
    ranked = run.raw.get("average_precision") or []
    return [
        replace(_row(run.name(n), *counted), ranked=tuple(ranked[n : n + 1]))
        for n, counted in enumerate(counts)
    ]


def _row(label: str, hits: int, wanted: int, answered: int, taken: str = "") -> ClassRow:
    precision = hits / answered if answered else None
    recall = hits / wanted if wanted else None
    f1 = 2 * hits / (wanted + answered) if wanted + answered else None
    return ClassRow(label, wanted, precision, recall, f1, taken)


def _taken(run: RunRecord, own: int, row: Sequence[int]) -> str:
    most = max((n for n in range(len(row)) if n != own), key=lambda n: row[n], default=own)
    return f"{run.name(most)} ({row[most]:,})" if most != own and row[most] else ""


def worst_first(rows: list[ClassRow]) -> list[ClassRow]:
    """The worst of a long list."""
    return sorted(rows, key=lambda row: -1.0 if row.f1 is None else row.f1)[:SHOWN]


def pairs(run: RunRecord) -> list[tuple[str, str, str, str]]:
    """The most frequent mistakes: true, answered, how often, share of the class."""
    found = [
        (value, n, k)
        for n, row in enumerate(run.confusion)
        for k, value in enumerate(row)
        if n != k and value
    ]
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [
        (
            run.name(n),
            run.name(k),
            units.count(value),
            units.percent(value / sum(run.confusion[n]), 1),
        )
        for value, n, k in found[:PAIRS]
    ]


# --- cross-validation -----------------------------------------------------------------------------

FOLD_COLUMNS = ("Fold", "Validation", "Samples", "Test", "Epochs", "Time")


def fold_rows(run: RunRecord) -> list[tuple[str, ...]]:
    """Every fold; the one whose model was kept is marked."""
    value = run.metric.value
    return [
        (
            f"{n} (kept)" if n == run.raw["fold"] else str(n),
            value(fold["best"]),
            units.count(fold["n"]),
            value(fold["test"]),
            units.count(fold["epochs"]),
            units.duration(fold["seconds"]),
        )
        for n, fold in enumerate(run.folds, 1)
    ]


# --- regression -----------------------------------------------------------------------------------


def output_name(run: RunRecord, index: int) -> str:
    count = len(run.raw.get("values") or [])
    return "value" if count == 1 and not run.raw["classes"] else run.name(index)


def output_rows(run: RunRecord) -> list[list[str]]:
    """Every output of a regression with its errors."""
    return [
        [
            output_name(run, n),
            number(row["mae"]),
            number(row["rmse"]),
            number(row["bias"]),
            number(row["r2"]),
        ]
        for n, row in enumerate(run.raw.get("values") or [])
    ]


def points(run: RunRecord) -> list[list[tuple[float, float]]]:
    """By output, pairs of truth and answer; of the first three."""
    found = run.examples.get("points") or []
    outputs = min(3, len(found[0][0])) if found else 0
    return [[(true[k], answered[k]) for true, answered in found] for k in range(outputs)]


# --- mistakes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """One sample that was answered wrongly; ``drawn`` is a series as SVG, ``png`` a picture."""

    answered: str
    sure: str
    true: str
    true_share: str
    sample: str
    png: str
    width: int
    height: int
    drawn: Any


def mistakes(run: RunRecord) -> list[Mistake]:
    """The most confident mistakes, or the largest errors, worst first."""
    return [_mistake(run, row) for row in run.examples.get("mistakes") or []]


def _mistake(run: RunRecord, row: dict[str, Any]) -> Mistake:
    values = run.task == "regression"
    true, answered = (
        ", ".join(number(v) for v in row[key]) if values else run.names(row[key])
        for key in ("true", "answered")
    )
    scale = 96 / max(row.get("width", 1), row.get("height", 1), 1)
    return Mistake(
        answered,
        units.percent(row["share"]) if "share" in row else "",
        true,
        units.percent(row["true_share"]) if "true_share" in row else "",
        f"{row['sample']:,}",
        row.get("png", ""),
        round(scale * row.get("width", 0)),
        round(scale * row.get("height", 0)),
        frame.markup(svg.draw(curves.sparkline(row["series"]))) if "series" in row else "",
    )
