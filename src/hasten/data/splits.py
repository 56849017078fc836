"""Calibration, selection and test samples: disjoint, balanced over classes, the same every time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hasten.data._storage import blocks, gather
from hasten.errors import BadData
from hasten.types import Data

CALIBRATION_MOST = 300
CALIBRATION_SHARE = 0.20
SELECTION_MOST = 2000
"""More would cost time for every candidate and settle nothing: the test samples judge."""
SELECTION_SHARE = 0.25
SHARED_BELOW = 64
"""With fewer samples than this to draw from, calibration and selection are the same."""
HELD_OUT = "Selection samples were taken from the training samples, which the model may know."


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set. Any prefix of a part is balanced over the classes.

    ``duplicates`` counts the samples left out because an exact copy is in use elsewhere;
    ``shared`` says that calibration and selection are the same samples.
    """

    calibration: Data
    selection: Data
    test: Data
    duplicates: int
    notes: Sequence[str]
    shared: bool = False

    def facts(self) -> dict[str, Any]:
        """What the evidence records about the data."""
        parts = {"calibration": self.calibration, "selection": self.selection, "test": self.test}
        return {
            "name": self.test.name,
            "source": self.test.source,
            "licence": self.test.licence,
            "n": {name: len(part) for name, part in parts.items()},
            "duplicates": self.duplicates,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Division:
    """Sample numbers of each part."""

    calibration: np.ndarray
    selection: np.ndarray
    test: np.ndarray
    duplicates: int
    shared: bool
    notes: tuple[str, ...] = ()


def split(data: Data, seed: int = 0) -> Splits:
    """Divide ``data``: along its official splits where it has them, else at random.

    Exact copies never stand in two parts. Equal data and seed give equal parts.
    """
    if len(data) < 2:
        raise BadData(
            f"Cannot divide '{data.name}': it holds {len(data)} sample. Give at least 2, so that "
            "one can test what another calibrated; 1,000 or more prove a small limit."
        )
    digests = sample_digests(data)
    order = _Order(data, seed)
    official = _official(data)
    made = _along(official, digests, order) if official else _at_random(digests, order)
    notes = tuple(dict.fromkeys((*data.notes, *made.notes)))
    return Splits(
        _part(data, made.calibration),
        _part(data, made.selection),
        _part(data, made.test),
        made.duplicates,
        notes,
        made.shared,
    )


def sample_digests(data: Data) -> np.ndarray:
    """A 64-bit hash of every sample's bytes over all inputs, ``(n,)``, read in blocks."""
    arrays = list(data.inputs.values())
    digests = np.empty(len(data), np.uint64)
    for block in blocks(max(arrays, key=lambda array: array.nbytes)):
        pieces = [np.ascontiguousarray(array[block]) for array in arrays]
        for offset, rows in enumerate(zip(*pieces, strict=True)):
            sha = hashlib.blake2b(digest_size=8)
            for row in rows:
                sha.update(row.tobytes())
            digests[block.start + offset] = int.from_bytes(sha.digest(), "little")
    return digests


class _Order:
    """Shuffles sample numbers so that every prefix holds each class in its share."""

    def __init__(self, data: Data, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        balanced = data.task == "classification" and data.labels is not None
        self.labels = data.labels if balanced else None

    def __call__(self, pool: np.ndarray) -> np.ndarray:
        return balanced(pool, self.labels, self.rng)


def balanced(pool: np.ndarray, labels: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """``pool`` shuffled so that every prefix holds each class in its share; ``labels`` are those of
    all samples, ``None``: simply shuffled."""
    pool = rng.permutation(pool)
    if labels is None:
        return pool
    by_class = pool[np.argsort(labels[pool], kind="stable")]
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    # The k-th of a class's m members goes to (k + u) / m of the way through.
    k = np.arange(len(pool)) - np.repeat(starts, counts)
    place = (k + rng.random(len(pool))) / np.repeat(counts, counts)
    return np.asarray(by_class[np.argsort(place, kind="stable")])


def _official(data: Data) -> dict[str, np.ndarray]:
    """The declared splits as ``train``, ``validation`` and ``test``; empty if they settle nothing.

    Without a declared test part, validation takes its place (as ImageNet's users do), else the
    samples that no split names.
    """
    parts = {name: index for name, index in data.splits.items() if len(index)}
    named = np.concatenate([*parts.values(), np.empty(0, np.int64)]).astype(np.int64)
    rest = np.setdiff1d(np.arange(len(data)), named)
    if "test" not in parts and "validation" in parts and ("train" in parts or len(rest)):
        parts["test"] = parts.pop("validation")
    missing = next((name for name in ("test", "train") if name not in parts), None)
    if missing and len(rest):
        parts[missing] = rest
    if "train" not in parts and "validation" in parts:
        parts["train"] = parts.pop("validation")
    return parts if {"train", "test"} <= set(parts) else {}


def _along(parts: dict[str, np.ndarray], digests: np.ndarray, order: _Order) -> _Division:
    """Official parts, kept apart: the test keeps all its samples, the others give way."""
    test = parts["test"]
    train = _without(parts["train"], test, digests)
    duplicates = len(parts["train"]) - len(train)
    if "validation" in parts:
        held = _without(parts["validation"], test, digests)
        pool = _without(train, held, digests)
        duplicates += len(parts["validation"]) - len(held) + len(train) - len(pool)
        _check_left(pool, held)
        calibration = order(pool)[: _calibration_count(len(pool))]
        selection, shared = order(held)[:SELECTION_MOST], False
        notes = _notes(duplicates, shared)
    else:
        pool = _first_of_each(train, digests)
        duplicates += len(train) - len(pool)
        _check_left(pool)
        calibration, selection, _, shared = _drawn(order(pool))
        notes = (*_notes(duplicates, shared), HELD_OUT)
    return _Division(calibration, selection, order(test), duplicates, shared, notes)


def _at_random(digests: np.ndarray, order: _Order) -> _Division:
    """One pool without copies, divided by shares."""
    pool = _first_of_each(np.arange(len(digests)), digests)
    duplicates = len(digests) - len(pool)
    if len(pool) < 2:
        raise BadData(
            f"Cannot divide {len(digests)} samples: all are exact copies of one. Give at least 2 "
            "different samples."
        )
    calibration, selection, test, shared = _drawn(order(pool))
    return _Division(calibration, selection, test, duplicates, shared, _notes(duplicates, shared))


def _drawn(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Calibration, selection, the rest, and whether the first two are the same."""
    n = len(ordered)
    some = min(SELECTION_MOST, max(1, int(SELECTION_SHARE * n)))
    if n < SHARED_BELOW:
        return ordered[:some], ordered[:some], ordered[some:], True
    few = _calibration_count(n)
    return ordered[:few], ordered[few : few + some], ordered[few + some :], False


def _calibration_count(n: int) -> int:
    return min(CALIBRATION_MOST, max(1, int(CALIBRATION_SHARE * n)))


def _without(pool: np.ndarray, others: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """The samples of ``pool`` that have no exact copy among ``others``."""
    return pool[~np.isin(digests[pool], digests[others])]


def _first_of_each(pool: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """``pool`` with only the first of all exact copies."""
    return pool[np.sort(np.unique(digests[pool], return_index=True)[1])]


def _check_left(*pools: np.ndarray) -> None:
    if not all(map(len, pools)):
        raise BadData(
            "Cannot take calibration and selection samples: every training or validation sample "
            "is an exact copy of a test sample. Give separate ones."
        )


def _notes(duplicates: int, shared: bool) -> tuple[str, ...]:
    notes = []
    if duplicates:
        plural = "s were" if duplicates > 1 else " was"
        notes.append(f"{duplicates} exact duplicate{plural} left out.")
    if shared:
        notes.append("Too few samples: calibration and selection share theirs.")
    return tuple(notes)


def _part(data: Data, index: np.ndarray) -> Data:
    inputs = {name: gather(array, index) for name, array in data.inputs.items()}
    labels = None if data.labels is None else gather(data.labels, index)
    return replace(data, inputs=inputs, labels=labels, splits={})
