"""The planner keeps what wins here, and says of all others why not."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten.plugin import Setup, Speedup  # noqa: E402
from hasten.training import losses, optimizers, plan  # noqa: E402
from hasten.training.plan import Planner  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402


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


def planned(monkeypatch: pytest.MonkeyPatch, *speedups: Speedup) -> tuple[Setup, dict[str, Any]]:
    monkeypatch.setattr(plan, "_systems", lambda: list(speedups))
    x = np.random.default_rng(0).standard_normal((256, 4)).astype(np.float32)
    samples = Samples((x,), (None,), (x[:, 0] > 0).astype(np.int64), np.arange(256))
    setup = Setup(
        module=torch.nn.Linear(4, 2),
        loss=losses.cross_entropy(),
        optimizer=optimizers.optimizer("sgd", 0.1),
        schedule=optimizers.constant,
        epochs=10,
        batch=16,
        feed="resident",
        place=(slowly,),
    )
    planner = Planner(samples, 0, {}, lambda text: None)
    found = planner.measured(setup)
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
