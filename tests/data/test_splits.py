"""Calibration, selection and test: sizes, disjointness, balance, determinism."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hasten.data import split
from hasten.data.splits import CALIBRATION_MOST, SELECTION_MOST, Splits, sample_digests
from hasten.errors import BadData
from hasten.types import Data


def numbered(n: int, classes: int = 4, **changes: object) -> Data:
    """Samples that carry their own number."""
    labels = np.random.default_rng(1).integers(0, classes, n)
    made = Data("numbered", {"x": np.arange(n)[:, None]}, labels, "classification")
    return replace(made, **changes)


def numbers(part: Data) -> list[int]:
    return part.inputs["x"][:, 0].tolist()


def parts_of(made: Splits) -> list[set[int]]:
    return [set(numbers(part)) for part in (made.calibration, made.selection, made.test)]


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 400), copies=st.integers(0, 50), seed=st.integers(0, 5))
def test_parts_are_disjoint_and_nothing_is_lost(n: int, copies: int, seed: int) -> None:
    data = numbered(n)
    rows = np.concatenate([np.arange(n), np.arange(copies) % n])
    doubled = replace(data, inputs={"x": rows[:, None]}, labels=data.labels[rows])
    made = split(doubled, seed)
    calibration, selection, test = parts_of(made)
    assert not test & (calibration | selection)
    assert calibration | selection | test == set(range(n))
    assert made.duplicates == copies
    assert len(made.test) == len(test) > 0
    assert made.shared == (n < 64) == (calibration == selection)
    if not made.shared:
        assert not calibration & selection
        assert len(calibration) <= min(CALIBRATION_MOST, 0.2 * n)
        assert len(selection) <= 0.25 * n


def test_sizes_of_a_large_set() -> None:
    made = split(numbered(20_000))
    assert made.facts()["n"] == {
        "calibration": CALIBRATION_MOST,
        "selection": SELECTION_MOST,
        "test": 20_000 - CALIBRATION_MOST - SELECTION_MOST,
    }


def test_equal_seeds_give_equal_parts() -> None:
    data = numbered(500)
    first, again, other = split(data, 3), split(data, 3), split(data, 4)
    assert numbers(first.test) == numbers(again.test)
    assert numbers(first.test) != numbers(other.test)


def test_labels_follow_their_samples() -> None:
    data = numbered(300)
    for part in (split(data).calibration, split(data).selection, split(data).test):
        np.testing.assert_array_equal(part.labels, data.labels[numbers(part)])


def test_every_prefix_is_balanced() -> None:
    labels = np.repeat([0, 1, 2, 3], [700, 200, 60, 40])
    made = split(replace(numbered(1000), labels=labels))
    for part in (made.calibration, made.selection, made.test):
        for count in (50, 100, len(part)):
            share = np.bincount(part.labels[:count], minlength=4) / count
            assert np.abs(share - [0.7, 0.2, 0.06, 0.04]).max() <= 0.03 + 2 / count


def test_official_splits_are_kept() -> None:
    data = numbered(1000)
    order = np.random.default_rng(0).permutation(1000)
    splits = {"train": order[:600], "validation": order[600:700], "test": order[700:]}
    made = split(replace(data, splits=splits))
    calibration, selection, test = parts_of(made)
    assert test == set(splits["test"].tolist())
    assert selection == set(splits["validation"].tolist())
    assert calibration < set(splits["train"].tolist())
    assert len(calibration) == 120
    assert made.calibration.splits == {}


def test_without_validation_selection_is_held_out_from_training() -> None:
    made = split(numbered(1000, splits={"train": np.arange(800), "test": np.arange(800, 1000)}))
    calibration, selection, test = parts_of(made)
    assert test == set(range(800, 1000))
    assert not calibration & selection
    assert calibration | selection < set(range(800))
    assert (len(calibration), len(selection)) == (160, 200)
    assert any("taken from the training samples" in note for note in made.notes)


@pytest.mark.parametrize(
    ("splits", "test"),
    [
        ({"train": range(60), "validation": range(60, 100)}, range(60, 100)),
        ({"test": range(30)}, range(30)),
        ({"train": range(70)}, range(70, 100)),
        ({"validation": range(40), "test": range(40, 100)}, range(40, 100)),
        ({"train": range(50), "validation": range(50, 60), "test": range(60, 90)}, range(60, 90)),
    ],
)
def test_missing_parts_are_made_up_from_the_others(splits: dict[str, range], test: range) -> None:
    made = split(numbered(100, splits={k: np.array(v) for k, v in splits.items()}))
    assert parts_of(made)[2] == set(test)
    assert not (parts_of(made)[0] | parts_of(made)[1]) & set(test)


def test_a_test_split_of_everything_settles_nothing() -> None:
    made = split(numbered(100, splits={"test": np.arange(100)}))
    assert len(made.test) < 100
    assert len(made.calibration) == 20


def test_copies_across_official_parts_leave_the_test_whole() -> None:
    rows = np.arange(300)
    rows[:10] = np.arange(200, 210)  # training samples 0 to 9 are test samples
    rows[150:155] = np.arange(20, 25)  # validation samples that are training samples
    data = replace(
        numbered(300),
        inputs={"x": rows[:, None]},
        splits={
            "train": np.arange(150),
            "validation": np.arange(150, 200),
            "test": np.arange(200, 300),
        },
    )
    made = split(data)
    calibration, selection, test = parts_of(made)
    assert len(made.test) == 100
    assert made.duplicates == 15
    assert not test & (calibration | selection)
    assert not calibration & selection
    assert "15 exact duplicates were left out." in made.notes


def test_a_digest_covers_all_inputs() -> None:
    a = np.zeros((3, 2), np.float32)
    b = np.array([[0], [1], [0]], np.int64)
    assert len(np.unique(sample_digests(Data("one", {"a": a})))) == 1
    digests = sample_digests(Data("two", {"a": a, "b": b}))
    assert digests[0] == digests[2] != digests[1]


def test_arrays_larger_than_memory_stay_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    import hasten.data._storage as storage

    data = numbered(1000)
    small = split(data)
    monkeypatch.setattr(storage, "LARGE_BYTES", 1000)
    monkeypatch.setattr(storage, "BLOCK_BYTES", 64)
    large = split(data)
    assert isinstance(large.test.inputs["x"], np.memmap)
    assert numbers(large.test) == numbers(small.test)


def test_too_little_to_divide() -> None:
    with pytest.raises(BadData, match=r"holds 1 sample. Give at least 2"):
        split(numbered(1))
    same = replace(numbered(5), inputs={"x": np.zeros((5, 1))})
    with pytest.raises(BadData, match="all are exact copies of one"):
        split(same)
    known = replace(same, splits={"train": np.arange(3), "test": np.arange(3, 5)})
    with pytest.raises(BadData, match="is an exact copy of a test sample"):
        split(known)
    two = split(numbered(2))
    assert two.facts()["n"] == {"calibration": 1, "selection": 1, "test": 1}
    assert any("share" in note for note in two.notes)
