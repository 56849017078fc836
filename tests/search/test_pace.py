"""Time for measuring: what building leaves, and who can race in what is left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hasten.search import pace
from hasten.search.candidates import Candidates
from hasten.search.proof import Prover
from hasten.types import Plan, Trial, Use

SLOW = (0.98, [0.30, 0.32, 0.32, 0.58, 0.60])
"""Seconds per call of a ResNet-50 at batch 16: the model as it is, and five candidates."""


def test_a_slow_call_is_warmed_up_and_timed_once() -> None:
    assert pace.turn_seconds(1.0) == 2.0
    assert pace.turn_seconds(0.001) == pytest.approx(0.052)
    assert pace.turn_seconds(0.1) == pytest.approx(0.5)


def test_fewer_race_where_calls_are_slow() -> None:
    reference, calls = SLOW
    assert pace.fitting(reference, calls, 300.0) == 5
    assert pace.fitting(reference, calls, 16.0) == 3
    assert pace.fitting(reference, calls, 1.0) == 1
    assert pace.fitting(0.001, [0.001] * 8, 60.0) == 8
    assert pace.fitting(reference, [], 60.0) == 0


def candidates(left: float, budget: float = 120.0) -> Candidates:
    """Built candidates of the slow model, with so many seconds left."""
    reference, calls = SLOW
    settings = SimpleNamespace(objective="latency", budget_seconds=budget)
    nothing: Any = None
    found = Candidates(
        nothing,
        nothing,
        settings,  # type: ignore[arg-type]
        nothing,
        nothing,
        {},
        nothing,
        nothing,
        lambda: left,
    )
    names = ["torch_eager", "openvino", "onnxruntime", "onnxruntime", "openvino", "openvino"]
    for number, (name, seconds) in enumerate(zip(names, [reference, *calls], strict=True)):
        trial = Trial(Plan((), Use.of(name, threads=number)), seconds_per_call=seconds)
        trial.status = "built" if number else "reference"
        found.trials.append(trial)
    return found


def test_those_that_no_time_is_left_for_are_told() -> None:
    found = candidates(left=36.0)
    racing = found.entrants()
    assert [trial.seconds_per_call for trial in racing] == [0.30, 0.32, 0.32]
    late = [t.error for t in found.trials if t.status == "dominated"]
    assert len(late) == 2
    assert all("no time to race it" in error for error in late)


def test_building_leaves_what_measuring_needs() -> None:
    """At least 30 % of the budget; more where calls are slow, but never more than 60 %."""
    needed = pace.measuring_seconds(0.98, 0.30)
    assert 50 < needed < 56
    assert candidates(left=120.0)._build_seconds_left() == pytest.approx(120 - needed)
    assert candidates(left=300.0, budget=300.0)._build_seconds_left() == pytest.approx(210)
    assert candidates(left=60.0, budget=60.0)._build_seconds_left() == pytest.approx(24)


def test_without_a_round_the_final_takes_them_as_built() -> None:
    found = candidates(left=60.0)
    prover = Prover.__new__(Prover)
    prover.candidates = found
    found.trials[5].seconds_per_call = 1.2
    running = found.promising
    assert [t.seconds_per_call for t in prover._as_built(running)] == [0.30, 0.32, 0.32, 0.58]
