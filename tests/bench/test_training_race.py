"""The rules of the training race: how schedules are found, and what the table says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch")

from bench import train
from bench.training import contenders, rows, standing

ROW = rows.Row("row", "A row", lambda: pytest.fail("no data are needed"), "cnn", 0.9)
SECONDS_PER_EPOCH = 10.0


class Runs:
    """Runs that take no time: what a contender reaches after so many epochs is given."""

    def __init__(self, reached: dict[str, dict[int, float]]) -> None:
        self.reached = reached
        self.asked: list[tuple[str, int, int]] = []

    def __call__(
        self,
        row: rows.Row,
        contender: contenders.Contender,
        seed: int,
        epochs: int,
        limit: float,
        watch: bool = False,
    ) -> tuple[dict[str, Any], list[dict[str, float]]]:
        self.asked.append((contender.name, seed, epochs))
        known = self.reached[contender.name]
        fit = [n for n in range(1, epochs + 1) if n * SECONDS_PER_EPOCH <= limit]
        seen = [{"epochs": n, "seconds": 10.0 * n, "accuracy": known.get(n, 0.5)} for n in fit]
        if len(fit) < epochs:
            raise train.Stopped(seen if watch else [])
        return {**seen[-1], "row": row.name, "warm": 9.0 * epochs, "seed": seed}, (
            seen if watch else []
        )


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(train, "RESULTS", tmp_path)
    monkeypatch.setattr(train, "machine", lambda: {"cpu": "a test's"})
    return tmp_path


def raced(
    monkeypatch: pytest.MonkeyPatch, reached: dict[str, dict[int, float]], limit: float = 1e9
) -> Runs:
    runs = Runs(reached)
    monkeypatch.setattr(train, "child", runs)
    for name in reached:
        train.tune(ROW, contenders.get(name), limit)
    return runs


def schedule(results: Path, name: str) -> Any:
    return json.loads((results / "row" / f"{name}.schedule.json").read_text())["epochs"]


@pytest.mark.parametrize(
    ("reached", "epochs"),
    [
        ({5: 0.93, 4: 0.92, 3: 0.91, 2: 0.902, 1: 0.9}, 2),
        ({5: 0.89, 6: 0.899, 7: 0.902}, 7),
        ({5: 0.9005, 6: 0.9015}, 6),
        ({5: 0.9, 1: 0.95}, None),
    ],
    ids=["down", "up", "just reaching it is not enough", "never"],
)
def test_the_fewest_epochs_are_found(
    results: Path, monkeypatch: pytest.MonkeyPatch, reached: dict[int, float], epochs: int | None
) -> None:
    raced(monkeypatch, {"accelerate": reached}, limit=200.0)
    assert schedule(results, "accelerate") == epochs


def test_far_from_the_target_one_seed_is_enough(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = raced(monkeypatch, {"accelerate": {5: 0.8, 6: 0.901}})
    assert runs.asked == [("accelerate", 100, 5), ("accelerate", 100, 6), ("accelerate", 101, 6)]


def test_what_was_tried_is_not_tried_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raced(monkeypatch, {"accelerate": {5: 0.8, 6: 0.901}})
    (results / "row" / "accelerate.schedule.json").unlink()
    assert raced(monkeypatch, {"accelerate": {}}).asked == []
    assert schedule(results, "accelerate") == 6


def test_what_was_stopped_is_tried_again_with_more_time(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced(monkeypatch, {"accelerate": {5: 0.8, 6: 0.95}}, limit=50.0)
    assert schedule(results, "accelerate") is None
    (results / "row" / "accelerate.schedule.json").unlink()
    raced(monkeypatch, {"accelerate": {5: 0.8, 6: 0.95}}, limit=60.0)
    assert schedule(results, "accelerate") == 6


def test_without_a_schedule_one_run_tells_of_every_epoch(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = raced(monkeypatch, {"plain": {n: 0.8 + 0.01 * n for n in range(1, 13)}}, limit=120.0)
    assert [seed for _, seed, _ in runs.asked] == [100, 101]
    assert schedule(results, "plain") == 11


def test_who_trains_alike_shares_the_schedule(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = raced(monkeypatch, {"accelerate": {5: 0.8, 6: 0.95}, "lightning": {6: 0.95}})
    assert {name for name, _, _ in runs.asked} == {"accelerate"}
    train.one(ROW, contenders.get("lightning"), 0)
    assert runs.asked[-1] == ("lightning", 0, 6)


def test_one_that_is_stopped_is_not_run_on_other_seeds(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = raced(monkeypatch, {"ours": {5: 0.95}, "accelerate": {5: 0.8, 40: 0.95}})
    train.one(ROW, contenders.get("ours"), 0)
    assert train.limit(ROW) == 6 * 50.0
    for seed in (0, 1, 2):
        train.one(ROW, contenders.get("accelerate"), seed)
    assert [asked for asked in runs.asked if asked[0] == "accelerate"][-1] == ("accelerate", 0, 40)
    line = next(one for one in standing.lines(results, ROW) if not one.contender.own)
    assert (line.times, line.seconds("seconds")) == ("> 6x", "> 300 s")


def test_one_that_misses_the_target_races_again_for_longer(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lucky = {5: 0.8, 6: 0.95}
    runs = raced(monkeypatch, {"accelerate": lucky, "lightning": lucky})
    lucky.update({6: 0.89, 7: 0.9})
    train.race(ROW, [contenders.get("accelerate")])
    raced_for = [epochs for _, seed, epochs in runs.asked if seed in (0, 1, 2)]
    assert raced_for == [6, 6, 6, 7, 7, 7]
    assert schedule(results, "accelerate") == 7
    kept = train.read(train.schedule_path(ROW, contenders.get("accelerate")))
    assert kept is not None
    assert kept["missed"] == {"6": [0.89, 0.89, 0.89]}
    line = next(one for one in standing.lines(results, ROW) if one.contender.name == "accelerate")
    assert (line.reached, line.epochs) == (True, "7")


def test_epochs_that_are_the_rows_stay(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = replace(ROW, epochs=5)
    runs = Runs({"ours": {5: 0.89}})
    monkeypatch.setattr(train, "child", runs)
    train.tune(fixed, contenders.get("ours"), 60.0)
    train.race(fixed, [contenders.get("ours")])
    assert [epochs for _, _, epochs in runs.asked] == [5] * 5


def test_the_table_has_every_seed_and_the_interval(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "child", Runs({}))
    for name, seconds in {"ours": (9.0, 10.0, 11.0), "lightning": (29.0, 30.0, 31.0)}.items():
        for seed, taken in enumerate(seconds):
            result = {"epochs": 5, "seconds": taken, "warm": taken - 1, "accuracy": 0.91}
            train.write(results / "row" / f"{name}-{seed}.json", result)
    told = standing.table(results, [ROW])
    assert "| Hasten | 91.00 % (91.00, 91.00, 91.00) | 5 | 10 s | 9 s |  |" in told
    lightning = next(line for line in told.splitlines() if "Lightning" in line)
    assert "| 30 s | 29 s | 3.01x [2.31, 3.91]" in lightning
    assert "No other contender" not in told


def test_below_the_target_is_said(results: Path) -> None:
    result = {"epochs": 5, "seconds": 9.0, "warm": 8.0, "accuracy": 0.89}
    train.write(results / "row" / "ours-0.json", result)
    told = standing.table(results, [ROW])
    assert "**below the target**" in told
    assert "No other contender has been run on this row yet." in told


def test_a_number_of_epochs_may_be_the_rows(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "child", Runs({}))
    train.tune(replace(ROW, epochs=7.5), contenders.get("ours"), 60.0)
    schedule = train.read(results / "row" / "ours.schedule.json")
    assert schedule is not None
    assert schedule["epochs"] == 7.5


def test_hasten_without_another_network_only_where_it_has_one() -> None:
    same = contenders.get("ours_same")
    whitened = rows.ROWS["fashion-mnist"]
    assert same.runs(whitened)
    assert not same.runs(ROW)
    assert same.changed(whitened) == {"speedups": {}, "without": []}  # type: ignore[attr-defined]
    assert same.changed(rows.ROWS["cifar10"])["without"] == ["whitening"]  # type: ignore[attr-defined]


def test_every_contender_names_what_it_follows() -> None:
    for name in contenders.names():
        contender = contenders.get(name)
        assert contender.source
        if contender.tuned_as:
            assert not contenders.get(contender.tuned_as).tuned_as
