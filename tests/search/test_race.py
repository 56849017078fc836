from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hasten.errors import CandidateFailed
from hasten.search import race as racing
from hasten.search.race import Entry, Final, Progress, Rules, Standing, Track, final, race

BENCH = Path(__file__).parents[2] / "bench"


@dataclass
class Machine:
    """A virtual clock and noise that every turn draws from."""

    noise: float = 0.01
    now: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    turns: list[str] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def track(self, rules: Rules | None = None, told: list[Progress] | None = None) -> Track:
        progress = None if told is None else told.append
        return Track(self.rng, rules or Rules(), clock=self.clock, progress=progress)


@dataclass
class Model:
    """A contender that takes ``seconds`` per call, give or take the machine's noise."""

    machine: Machine
    name: str
    seconds: float
    fails_at: int = 10**9

    def turn(self, seconds: float) -> list[float]:
        self.machine.turns.append(self.name)
        calls = max(3, round(seconds / self.seconds))
        self.machine.now += calls * self.seconds
        if self.machine.turns.count(self.name) >= self.fails_at:
            raise CandidateFailed("it crashed.")
        noise = self.machine.rng.lognormal(0, self.machine.noise)
        return [self.seconds * noise] * calls


def run(
    machine: Machine,
    speeds: dict[str, float],
    complexity: dict[str, int] | None = None,
    budget_seconds: float = 45.0,
    base: float = 0.005,
    told: list[Progress] | None = None,
    **fails_at: int,
) -> Standing:
    """A race of models that are so many times faster than the reference."""
    models = {
        name: Model(machine, name, base / speed, fails_at.get(name, 10**9))
        for name, speed in {"reference": 1.0, **speeds}.items()
    }
    entries = [Entry(models[name], (complexity or {}).get(name, 10)) for name in speeds]
    return race(machine.track(told=told), models["reference"], entries, budget_seconds)


def prove(
    machine: Machine,
    speed: float,
    baseline: float | None = None,
    budget_seconds: float = 40.0,
    base: float = 0.005,
    **fails_at: int,
) -> Final:
    """A final of a model that is ``speed`` times faster than the reference."""
    never = 10**9
    reference = Model(machine, "reference", base, fails_at.get("reference", never))
    winner = Model(machine, "winner", base / speed, fails_at.get("winner", never))
    fp32 = None
    if baseline is not None:
        fp32 = Model(machine, "fp32", base / baseline, fails_at.get("fp32", never))
    return final(machine.track(), reference, winner, fp32, budget_seconds)


# --- the race -------------------------------------------------------------------------------------


def test_the_fastest_wins_and_the_others_follow() -> None:
    found = run(Machine(), {"a": 1.2, "b": 2.0, "c": 1.5, "d": 0.7})
    assert found.winner == "b"
    assert found.ranking == ("b", "c", "a")
    assert found.ratios["b"].value == pytest.approx(2, rel=0.02)


def test_short_heats_drop_the_dominated_early() -> None:
    machine = Machine()
    speeds = {"slow": 0.4, "slower": 0.2, "a": 2.0, "b": 1.9, "c": 1.8, "d": 1.7, "e": 1.6}
    found = run(machine, speeds)
    assert found.dropped["slow"].startswith("slower: ")
    assert found.dropped["slow"].endswith("x behind after 1 rounds")
    turns = {name: machine.turns.count(name) for name in speeds}
    assert turns["slow"] == turns["slower"] == 1
    assert turns["a"] > turns["d"] >= turns["e"] > 1


def test_the_long_heat_ends_when_one_is_clearly_ahead() -> None:
    clear, close = Machine(), Machine()
    run(clear, {"a": 2.0, "b": 1.8})
    run(close, {"a": 2.0, "b": 2.0})
    assert clear.turns.count("reference") == 1 + Rules().chunk
    assert close.turns.count("reference") == 1 + Rules().long_rounds


def test_a_tie_goes_to_the_simpler() -> None:
    speeds = {"complex": 1.5, "simple": 1.5, "slow": 1.2}
    for seed in range(5):
        machine = Machine(noise=0.02, rng=np.random.default_rng(seed))
        found = run(machine, speeds, {"complex": 30, "simple": 10, "slow": 0})
        assert found.ranking == ("simple", "complex", "slow")


def test_a_clear_gain_beats_simplicity() -> None:
    found = run(Machine(), {"complex": 1.6, "simple": 1.5}, {"complex": 30, "simple": 0})
    assert found.winner == "complex"


def test_nothing_faster_means_no_winner() -> None:
    found = run(Machine(), {"a": 0.9, "b": 0.5})
    assert (found.winner, found.ranking) == (None, ())
    assert found.ratios["a"].value == pytest.approx(0.9, rel=0.02)


def test_no_entries_are_no_race() -> None:
    machine = Machine()
    assert run(machine, {}).winner is None
    assert machine.turns == ["reference"]


def test_a_failing_candidate_is_dropped_with_the_reason() -> None:
    found = run(Machine(), {"a": 3.0, "b": 2.0, "c": 1.5}, a=4)
    assert found.dropped["a"] == "it crashed."
    assert found.ranking == ("b", "c")
    assert len(found.rounds["a"]) == 3


def test_a_candidate_that_fails_at_once_has_no_ratio() -> None:
    found = run(Machine(), {"a": 3.0, "b": 2.0}, a=1)
    assert "a" not in found.ratios
    assert found.winner == "b"


def test_all_candidates_failing_leaves_the_reference() -> None:
    found = run(Machine(), {"a": 3.0, "b": 2.0}, a=2, b=3)
    assert found.ranking == ()
    assert set(found.dropped) == {"a", "b"}


def test_a_failing_reference_ends_the_race() -> None:
    with pytest.raises(CandidateFailed, match="reference failed while it was timed: it crashed"):
        run(Machine(), {"a": 3.0}, reference=2)


@pytest.mark.parametrize("base", [0.001, 0.3, 2.0])
@pytest.mark.parametrize("budget", [5.0, 45.0])
def test_the_race_keeps_its_time(base: float, budget: float) -> None:
    machine = Machine()
    found = run(machine, dict.fromkeys("abcdefgh", 1.0), base=base, budget_seconds=budget)
    assert machine.now <= budget + 3 * base + 0.1  # at most one turn more
    assert found.seconds == machine.now


def test_no_time_means_no_winner() -> None:
    found = run(Machine(), {"a": 2.0}, budget_seconds=0)
    assert (found.winner, found.ratios, found.rounds) == (None, {}, {})


def test_progress_tells_stage_leader_and_time() -> None:
    told: list[Progress] = []
    run(Machine(), {"a": 1.2, "b": 2.0, "c": 1.5, "d": 0.3, "e": 0.2}, told=told)
    assert {one.stage for one in told} == {"race"}
    assert all(one.leader == "b" for one in told)
    assert told[-1].speedup == pytest.approx(2, rel=0.02)
    left = [one.seconds_left for one in told]
    assert left == sorted(left, reverse=True)


# --- the final ------------------------------------------------------------------------------------


def test_a_clear_gain_is_proven_at_the_first_look() -> None:
    machine = Machine()
    found = prove(machine, 2.0)
    assert (found.verdict, found.baseline_ratio) == ("faster", None)
    assert found.ratio is not None
    assert found.ratio.rounds == Rules().looks[0][0]
    assert found.ratio.low <= 2.0 <= found.ratio.high
    assert found.ratio.confidence == 0.95
    assert found.ratio.low > 1.9


def test_a_small_gain_takes_more_rounds() -> None:
    found = prove(Machine(noise=0.05), 1.03)
    assert found.verdict == "faster"
    assert found.ratio is not None
    assert found.ratio.rounds > 24


def test_equal_models_are_level() -> None:
    found = prove(Machine(noise=0.03), 1.0)
    assert found.verdict == "level"
    assert found.ratio is not None
    assert found.ratio.rounds == Rules().looks[-1][0]


def test_two_processes_of_one_model_are_not_a_gain() -> None:
    found = prove(Machine(noise=0.0005), 1.002)
    assert found.ratio is not None
    assert found.ratio.low > 1
    assert found.verdict == "level"


def test_a_slower_winner_is_found_out() -> None:
    assert prove(Machine(), 0.9).verdict == "slower"


def test_too_few_rounds_decide_nothing() -> None:
    found = prove(Machine(), 2.0, base=2.0, budget_seconds=40)
    assert found.verdict == "undecided"
    assert found.ratio is not None
    assert found.ratio.rounds < 6
    assert found.ratio.confidence < 0.95
    assert prove(Machine(), 2.0, budget_seconds=0).ratio is None


def test_six_rounds_that_fit_the_time_decide() -> None:
    found = prove(Machine(noise=0.001), 2.0, base=1.0, budget_seconds=40)
    assert found.ratio is not None
    assert 6 <= found.ratio.rounds < 12
    assert (found.verdict, found.ratio.confidence) == ("faster", 0.95)


def test_the_baseline_is_timed_beside() -> None:
    found = prove(Machine(), 2.0, baseline=1.6)
    assert found.baseline_ratio is not None
    assert found.baseline_ratio.value == pytest.approx(2 / 1.6, rel=0.02)
    assert set(found.rounds) == {"reference", "winner", "fp32"}


def test_a_winner_that_is_its_own_baseline_is_timed_once() -> None:
    machine = Machine()
    reference, winner = Model(machine, "reference", 0.005), Model(machine, "winner", 0.0025)
    found = final(machine.track(), reference, winner, winner)
    assert found.baseline_ratio is None
    assert machine.turns.count("winner") == machine.turns.count("reference")


def test_a_failing_baseline_is_left_out() -> None:
    found = prove(Machine(), 2.0, baseline=1.6, fp32=3)
    assert (found.verdict, found.baseline_ratio) == ("faster", None)


def test_a_failing_winner_is_an_error() -> None:
    with pytest.raises(CandidateFailed, match="'winner' failed in the final: it crashed"):
        prove(Machine(), 2.0, winner=5)


def test_looks_spend_no_more_than_the_error() -> None:
    assert sum(spend for _, spend in Rules().looks) == pytest.approx(1 - racing.CONFIDENCE)


# --- whole searches on recorded noise -------------------------------------------------------------


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulation", BENCH / "simulate_search.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def searched(
    simulation: ModuleType, trace: str, speeds: Sequence[float], count: int, rules: Any = None
) -> dict[str, float]:
    recorded = simulation.Trace(BENCH / "traces" / f"{trace}.npz")
    found: dict[str, float] = simulation.searches(recorded, speeds, count, 17, rules)
    return found


def test_of_20_identical_candidates_hardly_one_is_called_faster(simulation: ModuleType) -> None:
    found = searched(simulation, "bursts", [1.0] * 20, 1000, simulation.ANY_GAIN)
    assert found["called_faster"] <= 0.05
    assert found["longest_seconds"] < 90


def test_nor_on_an_overloaded_machine(simulation: ModuleType) -> None:
    found = searched(simulation, "overloaded", [1.0] * 20, 300, simulation.ANY_GAIN)
    assert found["called_faster"] <= 0.05


def test_on_a_quiet_machine_the_allowance_hides_what_one_process_has_over_another(
    simulation: ModuleType,
) -> None:
    assert searched(simulation, "quiet", [1.0] * 20, 300)["called_faster"] <= 0.01


@pytest.mark.parametrize("trace", ["bursts", "quiet"])
@pytest.mark.parametrize("candidates", [8, 20])
def test_a_gain_of_5_percent_is_found(simulation: ModuleType, candidates: int, trace: str) -> None:
    found = searched(simulation, trace, [1.0] * (candidates - 1) + [1.05], 400)
    assert found["best_called_faster"] >= 0.8
    assert found["longest_seconds"] < 90


@pytest.mark.parametrize(("n", "gained"), [(400, 0.0), (400, 0.01), (1000, 0.002)])
def test_models_that_break_the_limit_hardly_pass(
    simulation: ModuleType, n: int, gained: float
) -> None:
    assert simulation.breaking_models(n, 0.01 + gained, gained, 1000, 3) <= 0.05
