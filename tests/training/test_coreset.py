"""Training on fewer samples: which are kept, how long choosing takes, and what it saves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hasten.data import _storage
from hasten.training.coreset import chosen, features, worth
from hasten.training.told import reduction_line
from hasten.types import Data


def data(count: int = 400, **changed: Any) -> Data:
    rng = np.random.default_rng(0)
    labels = np.sort(np.arange(count) % 4)
    x = rng.normal(labels[:, None], 1.0, (count, 6)).astype(np.float32)
    return Data("made", {"x": x}, **{"labels": labels, "task": "classification", **changed})


def test_the_share_of_every_class_is_kept() -> None:
    made, rows = data(), np.arange(0, 400, 2)
    kept = chosen(made, rows, 0.3, np.random.default_rng(0))
    assert set(kept) <= set(rows)
    assert len(set(kept)) == len(kept)
    counts = np.bincount(made.labels[kept])
    assert counts.tolist() == [15] * 4
    again = chosen(made, rows, 0.3, np.random.default_rng(0))
    assert np.array_equal(kept, again)


def test_a_class_with_one_sample_keeps_it() -> None:
    labels = np.array([0] * 99 + [1])
    kept = chosen(data(100, labels=labels), np.arange(100), 0.05, np.random.default_rng(0))
    assert 99 in kept
    assert len(kept) == 6


def test_they_are_spread_more_evenly_than_chance_would_have_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3)).astype(np.float32)
    made = Data("made", {"x": x}, np.zeros(2000, np.int64), "classification")

    def error(rows: np.ndarray) -> float:
        return float(np.linalg.norm(x[rows].mean(axis=0) - x.mean(axis=0)))

    ours = [error(chosen(made, np.arange(2000), 0.05, rng)) for _ in range(20)]
    chance = [error(rng.choice(2000, 100, replace=False)) for _ in range(20)]
    assert np.mean(ours) < 0.6 * np.mean(chance)


def test_every_sample_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(40, 2)).astype(np.float32)
    made = Data("made", {"x": x}, np.zeros(40, np.int64), "classification")
    counts = np.zeros(40)
    for _ in range(1000):
        counts[chosen(made, np.arange(40), 0.25, rng)] += 1
    assert counts.sum() == 10_000
    assert 180 <= counts.min() <= counts.max() <= 320, "250, and five deviations of 14"


def test_regression_is_one_group() -> None:
    made = data(labels=np.linspace(0, 1, 400, dtype=np.float32), task="regression")
    assert len(chosen(made, np.arange(400), 0.25, np.random.default_rng(0))) == 100


@pytest.mark.parametrize(
    ("shape", "width"),
    [((7,), 7), ((3, 32, 30), 48), ((1, 3, 3), 9), ((50, 2), 32), ((9, 3, 8, 8), 192)],
)
def test_features_of_every_kind(shape: tuple[int, ...], width: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    found = features(Data("made", {"x": array, "z": array}), np.arange(5, 20))
    assert found.shape == (15, 2 * width)
    assert np.allclose(found.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(found.std(axis=0), 1, atol=1e-3)


def test_features_average_over_the_grid() -> None:
    array = np.zeros((2, 1, 8, 8), np.float32)
    array[0, 0, :2, 2:4] = 1.0  # cell (0, 1)
    found = features(Data("made", {"x": array}), np.arange(2))
    assert np.flatnonzero(found[0]).tolist() == [1]


def test_many_features_lie_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_CACHE", str(tmp_path))
    expected = features(data(), np.arange(400))
    monkeypatch.setattr(_storage, "LARGE_BYTES", 100)
    found = features(data(), np.arange(400))
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, expected)


def parts(kept: int, dropped: int, seconds: float) -> Any:
    return SimpleNamespace(train=np.arange(kept), dropped=dropped, seconds=seconds)


def test_what_it_is_worth() -> None:
    setup: Any = SimpleNamespace(batch=100, epochs=10)
    assert worth(parts(1000, 0, 0.0), setup, 0.1) is None
    found = worth(parts(400, 600, 3.0), setup, 0.1 / setup.batch)
    assert found is not None
    assert found["seconds_saved_per_epoch"] == pytest.approx(0.6)
    assert found["pays_after_epochs"] == pytest.approx(5)
    assert found["seconds_saved"] == pytest.approx(3)
    said = reduction_line(found)
    assert "Trained on 400 of 1,000 samples: choosing them took 3.0 s" in said
    assert said.endswith("It breaks even after 5.0 epochs and saves 3.0 s in all.")
    found = worth(parts(400, 600, 30.0), setup, 0.1 / setup.batch)
    assert found is not None
    assert reduction_line(found).endswith("after 50.0 epochs and costs 24.0 s in all.")


def test_what_was_not_timed_is_not_claimed() -> None:
    setup: Any = SimpleNamespace(batch=100, epochs=10)
    found = worth(parts(400, 600, 3.0), setup, 0.0)
    assert found is not None
    assert "Steps were not timed" in reduction_line(found)
    assert "every epoch has 6 steps less" in reduction_line(found)
    found = worth(parts(90, 10, 3.0), setup, 0.1)
    assert found is not None
    assert reduction_line(found).endswith("saves nothing: an epoch has as many steps as before.")
