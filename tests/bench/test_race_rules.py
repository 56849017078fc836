"""The rules: the limit, the best peer, win, level, loss, and the table that prints them all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import contenders, inference, table, verdict
from hasten.errors import UnknownName
from hasten.types import Ratio


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.01, 1.30, "win"),
        (0.98, 1.02, "level"),
        (0.97, 0.99, "level"),
        (0.90, 0.96, "loss"),
        (0.95, 0.99, "loss"),
        (0.96, 1.01, "undecided"),
        (0.98, 1.08, "undecided"),
    ],
)
def test_what_an_interval_says(low: float, high: float, expected: str) -> None:
    assert verdict.verdict(Ratio((low + high) / 2, low, high, 15)) == expected


def test_no_ratio_is_a_loss() -> None:
    assert verdict.verdict(None) == "loss"


def test_precision_does_not_depend_on_where_the_interval_lies() -> None:
    for place in (0.5, 1.0, 3.0):
        assert verdict.precise(Ratio(place, place * 0.98, place * 1.02, 15))
        assert not verdict.precise(Ratio(place, place * 0.95, place * 1.05, 15))


def test_the_limit_is_accuracy_where_it_was_measured() -> None:
    assert verdict.within_limit({"sqnr": 30.0})
    assert not verdict.within_limit({"sqnr": 29.9})
    assert verdict.within_limit({"sqnr": 12.0, "drop": 0.01, "accuracy": 0.9})
    assert not verdict.within_limit({"sqnr": 50.0, "drop": 0.011, "accuracy": 0.9})


def test_the_best_is_never_ours_and_pairs_are_taken_per_round() -> None:
    rounds = [{"ours": 1.0, "a": 3.0, "b": 2.0}, {"ours": 2.0, "a": 6.0, "b": 4.2}, {"ours": 1.0}]
    assert verdict.best(rounds, "ours") == "b"
    assert verdict.best([{"ours": 1.0}], "ours") is None
    ratio = verdict.paired(rounds, "a", "ours")
    assert ratio is not None
    assert (ratio.value, ratio.rounds) == (pytest.approx(3.0), 2)
    assert verdict.paired(rounds, "c", "ours") is None


def test_the_same_speed_with_noise_is_level() -> None:
    rng = np.random.default_rng(1)
    rounds = [{"ours": s * a, "b": s * b} for s, a, b in 1 + 0.02 * rng.normal(size=(40, 3))]
    assert verdict.verdict(verdict.paired(rounds, "b", "ours")) == "level"


def test_summary_counts_and_averages(result: Callable[..., dict[str, Any]]) -> None:
    results = [result(ratio=2.0), result(ratio=0.5, verdict="loss")]
    found = verdict.summary(results)
    assert (found["win"], found["loss"], found["rows"]) == (1, 1, 2)
    assert found["geometric_mean"] == pytest.approx(1.0)
    assert math.isnan(verdict.summary([])["geometric_mean"])


def test_the_table_prints_everything(result: Callable[..., dict[str, Any]]) -> None:
    page = table.page([result()], ["resnet18-b1"])
    for text in (
        "rows: 1. **Wins 1, level 0, losses 0, undecided 0; geometric mean 1.200**",
        "**Not run yet:** resnet18-b1.",
        "| LSTM (random weights) | 1 | 1.23 | OpenVINO f32 | 2 | 1.20 [1.19, 1.21] | win |",
        "int8_static + openvino | 41.5 dB | OpenVINO f32",
        "out (21.4 dB)",
        "n/a",
        "not applicable: no torchvision",
        "Other load disturbed 2 of 15 rounds",
        "- **OpenVINO f32**: https://docs.openvino.ai",
    ):
        assert text in page


def test_an_empty_table_names_what_is_missing() -> None:
    assert "Missing: resnet18-b1, lstm-b1." in table.page([], ["resnet18-b1", "lstm-b1"])


def test_a_row_that_other_load_spoilt_is_marked(result: Callable[..., dict[str, Any]]) -> None:
    spoilt = result()
    spoilt["comparison"]["disturbed"] = 8
    assert "| win (disturbed) |" in table.page([spoilt], [])
    assert "| win (disturbed) |" not in table.page([result()], [])


def test_a_trial_without_some_contender_is_no_result(
    tmp_path: Path, result: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "lstm-b1.json").write_text(json.dumps(result()))
    results, missing = inference.recorded(tmp_path)
    assert not results
    assert "lstm-b1" in missing


def test_results_are_found_again(
    tmp_path: Path, result: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contenders, "names", lambda: sorted(result()["contenders"]))
    (tmp_path / "lstm-b1.json").write_text(json.dumps(result()))
    results, missing = inference.recorded(tmp_path)
    assert [one["race"] for one in results] == ["lstm-b1"]
    assert "lstm-b1" not in missing
    assert "lstm-b16" in missing
    inference.main(["--table", "--results", str(tmp_path)])
    assert "LSTM (random weights)" in tmp_path.with_suffix(".md").read_text()


def test_the_command_line_picks_rows_and_batches() -> None:
    asked = inference.arguments(["--rows", "resnet18,yolov8n", "--batch", "1,16", "--rounds", "4"])
    names = [job.name for job in inference.jobs(asked.rows, asked.batch)]
    assert names == ["resnet18-b1", "resnet18-b16", "yolov8n-b1"]
    assert asked.rounds == 4
    with pytest.raises(UnknownName, match="Did you mean 'resnet18'"):
        inference.jobs(["resnet81"], [])
