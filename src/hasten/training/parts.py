"""Training, validation and test samples, and the normalisation that the first alone gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hasten.data._storage import blocks
from hasten.data.splits import sample_digests
from hasten.errors import BadData
from hasten.types import Data, Normalisation

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.15
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Parts:
    """Sample numbers of each part. ``copies`` counts samples of the training part that are exact
    copies of a validation or test sample; they were left out if ``cleaned``."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    copies: int = 0
    cleaned: bool = False

    def facts(self) -> dict[str, int | bool]:
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
            "copies": self.copies,
            "cleaned": self.cleaned,
        }


def divide(data: Data, seed: int, clean: bool = False) -> Parts:
    """Divide along the official parts where there are any, else at random, balanced over classes.

    Equal data and seed give equal parts. ``clean`` leaves exact copies out of the training part.
    """
    if data.labels is None:
        raise BadData(
            f"Cannot train on '{data.name}': it has no labels. Give them as 'y' in the .npz, or "
            "one sub-folder per class."
        )
    rng = np.random.default_rng(seed)
    given = {name: np.asarray(rows) for name, rows in data.splits.items() if len(rows)}
    train = given.get("train")
    if train is None:
        named = np.concatenate([*given.values(), np.empty(0, np.int64)]).astype(np.int64)
        train = np.setdiff1d(np.arange(len(data)), named)
    labels = data.labels if data.task == "classification" else None
    test, validation = given.get("test"), given.get("validation")
    if test is None:
        test, train = _drawn(train, labels, TEST_SHARE, rng)
    if validation is None:
        validation, train = _drawn(train, labels, VALIDATION_SHARE / (1 - TEST_SHARE), rng)
    for name, rows in (("training", train), ("validation", validation), ("test", test)):
        if not len(rows):
            raise BadData(
                f"Cannot train on '{data.name}': its {len(data)} samples leave none for the "
                f"{name} part. Give at least 10, better some thousands."
            )
    digests = sample_digests(data)
    held = np.concatenate([digests[validation], digests[test]])
    copied = np.isin(digests[train], held)
    if clean:
        train = train[~copied]
    return Parts(train, validation, test, int(copied.sum()), clean)


def _drawn(
    pool: np.ndarray, labels: np.ndarray | None, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A share of the pool, of every class alike, and the rest; both in ascending order."""
    shuffled = rng.permutation(pool)
    groups = [shuffled]
    if labels is not None:
        groups = [shuffled[labels[shuffled] == number] for number in np.unique(labels[pool])]
    taken = np.concatenate([group[: round(share * len(group))] for group in groups])
    if not len(taken):
        taken = shuffled[:1]
    return np.sort(taken), np.setdiff1d(pool, taken)


def normalisation(array: np.ndarray, rows: np.ndarray) -> Normalisation | None:
    """What centres and scales every channel or feature, from the training rows alone.

    Channels are the second axis of vectors ``(n, features)`` and pictures ``(n, channels, h, w)``,
    the third of series ``(n, steps, features)`` and clips ``(n, frames, channels, h, w)``. ``None``
    for whole numbers other than bytes: they are indices.
    """
    if (array.dtype.kind in "iu" and array.dtype != np.uint8) or array.ndim < 2:
        return None
    axis = 2 if array.ndim in (3, 5) else 1
    scale = 1 / 255 if array.dtype == np.uint8 else 1.0
    count, total, squares = 0, 0.0, 0.0
    for block in _blocks(array, rows):
        values = np.moveaxis(block, axis, -1).reshape(-1, array.shape[axis]).astype(np.float64)
        values *= scale
        count += len(values)
        total = total + values.sum(axis=0)
        squares = squares + (values**2).sum(axis=0)
    mean = total / count
    spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
    spread = np.where(spread > LEAST_SPREAD, spread, 1.0)
    return Normalisation(scale, tuple(np.atleast_1d(mean)), tuple(np.atleast_1d(spread)), axis)


def _blocks(array: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for part in blocks(np.broadcast_to(array[:1], (len(rows), *array.shape[1:]))):
        yield array[rows[part]]
