"""The benches of training: their arithmetic, and one small run of each."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

from bench import loop_overhead, reference, speedups
from hasten import plugin

GIVEN = argparse.Namespace(data="digits", steps=4, seeds=2, seconds=0.1, rounds=8)


def test_an_interval_of_differences() -> None:
    found = speedups.difference(np.array([0.01, 0.02, 0.03]))
    assert found["gain"] == pytest.approx(0.02)
    assert found["high"] - found["gain"] == pytest.approx(4.303 * 0.01 / 3**0.5, rel=1e-3)
    assert speedups.difference(np.array([0.01]))["low"] == -np.inf


def test_every_case_is_a_speed_up() -> None:
    assert set(speedups.CASES) <= set(plugin.speedups.names())


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return {name: speedups.measured(name, GIVEN) for name in ("channels_last", "label_smoothing")}


def test_a_systems_one_is_timed(results: dict[str, Any]) -> None:
    (row,) = results["channels_last"]["rows"]
    assert row["ratio"]["rounds"] == 8
    assert row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]


def test_one_that_changes_what_is_learned_is_judged(results: dict[str, Any]) -> None:
    (row,) = results["label_smoothing"]["rows"]
    assert row["metric"] == "accuracy"
    assert len(row["with"]) == len(row["without"]) == row["seeds"] == 2
    assert row["gain"] == pytest.approx(np.mean(row["with"]) - np.mean(row["without"]))


def test_both_stand_in_the_table_and_in_the_catalogue(results: dict[str, Any]) -> None:
    page = speedups.page(results)
    assert "| channels_last | cnn, digits |" in page
    assert "| label_smoothing | cnn, digits | the recipe without it |" in page
    for result in results.values():
        assert "on digits" in reference._measured(result["rows"][0])


@pytest.mark.slow
def test_the_loop_and_the_bare_steps_learn_the_same() -> None:
    setup, samples = speedups.plain_setup("mlp", "digits", batch=32, feed="resident")
    setup = speedups.replace(setup, schedule=lambda share: 1.0)
    batches = [samples.batch(np.arange(32)), samples.batch(np.arange(32, 64))]
    found = loop_overhead.measured("mlp", "digits", 8)
    assert found["ratio"]["rounds"] == 8
    one, two = loop_overhead.bare(setup, batches), loop_overhead.ours(setup, samples, batches)
    assert one(4) == pytest.approx(two(4), rel=1e-4)
