"""The terminal's tables."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console, RenderableType

from hasten import report

Evidence = dict[str, Any]
Cases = dict[str, Callable[[], Evidence]]


def shown(what: RenderableType, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, color_system=None)
    console.print(what)
    return console.export_text()


def test_summary_says_what_matters(evidence: Evidence) -> None:
    text = shown(report.summary(evidence, "fast.hasten", "fast.hasten/report.html"))
    for wanted in (
        "15.7 times faster than the original",
        "Warning: Cold start grew",
        "reference",
        "fp32 baseline",
        "winner",
        "next best",
        "15.72×",
        "15.43–16.01",
        "92.68 %",
        "92.81 %",
        "proven",
        "Bundle  fast.hasten",
        "Report  fast.hasten/report.html",
        "Next    hasten bench fast.hasten",
    ):
        assert wanted in text


@pytest.mark.parametrize("width", [80, 120])
def test_every_case_fits_the_terminal(case: Evidence, width: int) -> None:
    for what in (report.summary(case, "fast.hasten"), report.table(case)):
        text = shown(what, width)
        assert max(map(len, text.splitlines())) <= width


def test_figures_are_whole_in_80_columns(evidence: Evidence) -> None:
    text = shown(report.summary(evidence), 80)
    assert "0.624 ms" in text
    assert "15.43–16.01" in text
    assert "equivalent" in text


def test_a_kept_original_has_its_reason(cases: Cases) -> None:
    text = shown(report.summary(cases["kept_original"]()))
    assert "The original was kept" in text
    assert "the only faster candidate broke the limit" in text
    assert "Next" not in text


def test_table_names_every_trial_and_reason(evidence: Evidence) -> None:
    text = " ".join(shown(report.table(evidence), 200).split())
    for raw in evidence["trials"]:
        assert raw["plan"]["engine"]["name"] in text
    assert "broken: accuracy dropped by 4.38 pp, limit 1.00 pp" in text


def test_names_are_not_markup(evidence: Evidence) -> None:
    evidence["verdict"]["sentence"] = "[red]bold[/nothing] \x1b[31m"
    evidence["trials"][0]["plan"]["engine"]["name"] = "[link=file:x]y[/link]"
    text = shown(report.summary(evidence), 120)
    assert "[red]bold[/nothing]" in text
    assert "[link=file:x]y[/link]" in text
    assert "\x1b" not in text
