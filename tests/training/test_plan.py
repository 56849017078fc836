"""The planner keeps what wins here, and says of all others why not."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten import plugin  # noqa: E402
from hasten.plugin import Setup, Speedup  # noqa: E402
from hasten.training import losses, optimizers, plan  # noqa: E402
from hasten.training.plan import Planner  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402
from hasten.types import Use  # noqa: E402


def slowly(inputs: Any) -> Any:
    time.sleep(0.004)
    return inputs


class _Made(Speedup):
    kind = "system"
    changes = expected = "a test"
    called: str

    @property
    def name(self) -> str:
        return self.called


class Faster(_Made):
    called = "faster"

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, place=())


class Slower(_Made):
    called = "slower"
    order = 60

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, place=(*setup.place, slowly, slowly))


class Broken(_Made):
    called = "broken"

    def apply(self, setup: Setup, options: Any) -> Setup:
        raise RuntimeError("no kernel for this\nat line 7")


class Dear(_Made):
    called = "dear"
    costs = True
    typical_seconds = 1e6

    def apply(self, setup: Setup, options: Any) -> Setup:
        raise AssertionError("never tried")


def planned_samples() -> Samples:
    x = np.random.default_rng(0).standard_normal((256, 4)).astype(np.float32)
    return Samples((x,), (None,), (x[:, 0] > 0).astype(np.int64), np.arange(256))


def planned_setup() -> Setup:
    return Setup(
        module=torch.nn.Linear(4, 2),
        loss=losses.cross_entropy(),
        optimizer=optimizers.optimizer("sgd", 0.1),
        schedule=optimizers.constant,
        epochs=10,
        batch=16,
        feed="resident",
        place=(slowly,),
    )


def planned(monkeypatch: pytest.MonkeyPatch, *speedups: Speedup) -> tuple[Setup, dict[str, Any]]:
    monkeypatch.setattr(plan, "_tried", lambda: list(speedups))
    planner = Planner(planned_samples(), 0, {}, lambda text: None)
    found = planner.measured(planned_setup())
    return found, {row.use.name: row for row in planner.rows}


def test_what_wins_is_kept_and_what_loses_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, rows = planned(monkeypatch, Faster(), Slower())
    assert setup.place == ()
    assert rows["faster"].kept
    assert rows["faster"].ratio.low > 2
    assert not rows["slower"].kept
    assert rows["slower"].ratio.high < 1
    assert rows["slower"].why == "no clear gain"


def test_what_fails_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, rows = planned(monkeypatch, Broken(), Faster())
    assert rows["broken"].why == "no kernel for this"
    assert rows["faster"].kept
    assert setup.place == ()


def test_what_cannot_pay_for_itself_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows = planned(monkeypatch, Dear())
    assert not rows["dear"].kept
    assert "the whole run" in rows["dear"].why


class Cheap(Dear):
    called = "cheap"
    typical_seconds = 1e-3


def test_what_planning_took_counts_with_the_price(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows = planned(monkeypatch, Faster(), Cheap())
    assert not rows["cheap"].kept
    assert "of planning, the whole run" in rows["cheap"].why


class Equal(_Made):
    """Changes nothing at all."""

    called = "equal"
    exact = True

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, clip=None)


def test_what_changes_no_bit_stays_unless_it_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows = planned(monkeypatch, Equal())
    assert rows["equal"].kept


class Widths(_Made):
    """Notes how many samples its steps take."""

    called = "widths"
    seen: list[int]

    def apply(self, setup: Setup, options: Any) -> Setup:
        def look(inputs: Any) -> Any:
            self.seen.append(len(inputs))
            return inputs

        return replace(setup, place=(*setup.place, look))


def long_steps(monkeypatch: pytest.MonkeyPatch, speedup: Widths) -> set[int]:
    """The sizes of the batches that a speed-up is timed on, where a whole one takes too long."""
    monkeypatch.setattr(plan, "PART_SECONDS", 1e-6)
    monkeypatch.setattr(plan, "LEAST_PART", 8)
    speedup.seen = []
    planned(monkeypatch, speedup)
    return set(speedup.seen)


def test_long_steps_are_timed_on_a_part_of_their_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert long_steps(monkeypatch, Widths()) == {8}


def test_what_depends_on_the_batch_is_timed_on_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Widths()
    monkeypatch.setattr(Widths, "needs_whole_batches", True)
    assert long_steps(monkeypatch, whole) == {16}


class Sleeps(_Made):
    """Takes as long as its option says."""

    called = "sleeps"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``milliseconds`` of every step."""

        milliseconds: int = 4

    def space(self, setup: Setup, target: Any) -> Any:
        return [{"milliseconds": 3}, {"milliseconds": 1}, {"milliseconds": 2}]

    def apply(self, setup: Setup, options: Any) -> Setup:
        def wait(inputs: Any) -> Any:
            time.sleep(options.milliseconds / 1000)
            return inputs

        return replace(setup, place=(wait,))


class Larger(_Made):
    """Four times the batch at the same seconds per step."""

    called = "larger"
    kind = "algorithm"
    tried = True
    worth = 1.5

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, batch=4 * setup.batch)


def test_of_several_options_the_best_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows = planned(monkeypatch, Sleeps())
    assert rows["sleeps"].kept
    assert rows["sleeps"].use == Use.of("sleeps", milliseconds=1)
    assert rows["sleeps"].to_json()["use"]["options"] == {"milliseconds": 1}


def test_batches_of_other_sizes_are_compared_per_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, rows = planned(monkeypatch, Larger())
    assert setup.batch == 64
    assert 2 < rows["larger"].ratio.value < 5
    assert rows["larger"].why.endswith("changes what is learned")


def test_what_is_asked_for_or_left_out_is_not_tried() -> None:
    setup = planned_setup()
    planner = Planner(
        planned_samples(),
        0,
        {},
        lambda text: None,
        {"fewer_threads": {"count": 1}},
        ["channels_last"],
    )
    made = planner.unmeasured(setup)
    assert made.threads == 1
    rows = {row.use.name: (row.kept, row.why) for row in planner.rows}
    assert rows["fewer_threads"] == (True, "as asked")
    assert rows["channels_last"] == (False, "left out, as asked")


def test_an_optimizer_without_a_fused_form_is_no_fault() -> None:
    setup = replace(planned_setup(), optimizer=lambda m: torch.optim.Rprop(m.parameters()))
    planner = Planner(planned_samples(), 0, {}, lambda text: None)
    planner.sample_seconds = 1e-3
    planner._try(plugin.speedups.get("fused_optimizer"), setup)
    assert "Rprop has no fused form" in planner.rows[0].why
