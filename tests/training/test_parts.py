"""Parts of a data set, and the normalisation that the training part gives."""

from __future__ import annotations

import numpy as np
import pytest

from hasten.errors import BadData
from hasten.training.parts import divide, normalisation
from hasten.types import Data


def data(count: int = 200, **changed: object) -> Data:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)}
    labels = np.arange(count) % 4
    given: dict[str, object] = {"labels": labels, "task": "classification", **changed}
    return Data("made", arrays, **given)  # type: ignore[arg-type]


def test_parts_are_disjoint_balanced_and_the_same_each_time() -> None:
    parts = divide(data(), seed=1)
    every = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(every) == list(range(200))
    counts = np.bincount(np.arange(200)[parts.test] % 4)
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(parts.test, divide(data(), seed=1).test)
    assert not np.array_equal(parts.test, divide(data(), seed=2).test)


def test_groups_stay_whole() -> None:
    groups = np.repeat(np.arange(50), 4).astype(str)
    parts = divide(data(groups=groups), seed=0)
    held = [set(groups[rows]) for rows in (parts.train, parts.validation, parts.test)]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]
    assert 24 <= len(parts.test) <= 36
    assert 14 <= len(parts.validation) <= 30


def test_official_parts_are_kept() -> None:
    splits = {"train": np.arange(150), "test": np.arange(150, 200)}
    parts = divide(data(splits=splits), seed=0)
    assert np.array_equal(parts.test, np.arange(150, 200))
    assert set(parts.train) | set(parts.validation) == set(range(150))


def test_copies_across_parts_are_counted_and_left_out_when_asked() -> None:
    made = data(
        splits={
            "train": np.arange(100),
            "validation": np.arange(100, 150),
            "test": np.arange(150, 200),
        }
    )
    array = made.inputs["x"].copy()
    array[:5] = array[150:155]
    from dataclasses import replace

    twice = replace(made, inputs={"x": array})
    assert divide(twice, 0).copies == 5
    assert len(divide(twice, 0).train) == 100
    assert len(divide(twice, 0, clean=True).train) == 95


def test_small_classes_share_a_part() -> None:
    """Three samples of each of 100 classes: rounding each class's share would leave one test
    sample."""
    found = data(300, labels=np.arange(300) % 100)
    parts = divide(found, seed=0)
    assert (len(parts.test), len(parts.validation)) == (45, 30)
    assert np.bincount(np.arange(300)[parts.test] % 100).max() == 1


def test_copies_of_test_in_validation_and_within_training() -> None:
    made = data(
        splits={
            "train": np.arange(100),
            "validation": np.arange(100, 150),
            "test": np.arange(150, 200),
        }
    )
    array = made.inputs["x"]
    array[100:103] = array[150:153]
    array[10:14] = array[9]
    parts = divide(made, 0)
    assert (parts.copies, parts.held_copies, parts.repeated) == (0, 3, 4)
    clean = divide(made, 0, clean=True)
    assert (len(clean.train), len(clean.validation)) == (96, 47)
    assert 9 in clean.train


def test_near_copies_are_found_only_when_asked_for() -> None:
    rng = np.random.default_rng(0)
    array = np.kron(rng.integers(0, 256, (60, 1, 8, 8)), np.ones((3, 3))).astype(np.uint8)
    array[:4] = np.clip(array[50:54].astype(int) + 2, 0, 255)
    array[4] = array[55]
    splits = {"train": np.arange(40), "validation": np.arange(40, 50), "test": np.arange(50, 60)}
    labels = np.arange(60) % 2
    made = Data("made", {"x": array}, labels, "classification", splits=splits)
    assert divide(made, 0).near is None
    parts = divide(made, 0, near_copies=True)
    assert parts.near is not None
    assert parts.near.tolist() == [[0, 50], [1, 51], [2, 52], [3, 53]]
    assert parts.copies == 1, "exact copies are not counted twice"
    assert len(parts.train) == 40
    assert divide(made, 0, clean=True, near_copies=True).train.tolist() == list(range(5, 40))
    assert len(divide(made, 0, clean=True).train) == 39


def test_a_share_of_the_training_part_alone_is_kept() -> None:
    whole, kept = divide(data(), seed=1), divide(data(), seed=1, keep=0.5)
    assert set(kept.train) < set(whole.train)
    assert kept.dropped == len(whole.train) - len(kept.train)
    assert np.array_equal(kept.test, whole.test)
    assert np.array_equal(kept.validation, whole.validation)
    assert np.array_equal(kept.train, divide(data(), seed=1, keep=0.5).train)


def test_no_labels_is_told() -> None:
    with pytest.raises(BadData, match="it has no labels"):
        divide(data(labels=None), 0)


def test_too_few_samples_is_told() -> None:
    with pytest.raises(BadData, match="leave none for the"):
        divide(data(2), 0)


def test_normalisation_comes_from_the_given_rows_alone() -> None:
    array = np.zeros((10, 2, 3, 3), np.uint8)
    array[:5, 0], array[:5, 1] = 100, 200
    array[5:] = 255
    found = normalisation(array, np.arange(5))
    assert found is not None
    assert found.mean == pytest.approx((100 / 255, 200 / 255))
    assert found.std == (1.0, 1.0), "a channel that never changes is not divided by zero"


def test_normalised_samples_have_mean_zero_and_spread_one() -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(5, 3, (50, 20, 2)).astype(np.float32)
    found = normalisation(series, np.arange(50))
    assert found is not None
    ready = found(series)
    assert ready.mean((0, 1)) == pytest.approx([0, 0], abs=1e-5)
    assert ready.std((0, 1)) == pytest.approx([1, 1], abs=1e-4)


def test_whole_numbers_are_left_alone() -> None:
    assert normalisation(np.zeros((4, 3), np.int64), np.arange(4)) is None
