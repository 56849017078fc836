"""Training, validation and test samples, and the normalisation that the first alone gives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hasten.data import perceptual
from hasten.data._storage import CALCULATED_BYTES, blocks
from hasten.data.splits import balanced, sample_digests
from hasten.errors import BadData
from hasten.training import coreset
from hasten.training.checks import check_samples
from hasten.types import Data, Normalisation, digest

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.15
LEAST_SPREAD = 1e-6
NORMALISED = "Pixels are normalised"
"""How a source's note on its own normalisation begins."""


MOST_OFF = 0.2
"""How far, as a share, a part may be from its size because every class has its share of it."""
NEAR_SHOWN = 5
"""Near copies that are named."""


@dataclass(frozen=True)
class Parts:
    """Sample numbers of each part. ``copies`` counts samples of the training part that are exact
    copies of a validation or test sample, ``held_copies`` those of the validation part that are of
    a test sample, ``repeated`` those of the training part that come again in it; they were left out
    if ``cleaned``.

    ``near`` holds near copies that are no exact ones, ``(n, 2)``: a training sample and the
    validation or test sample that it is near to; ``None``: not looked for. ``dropped`` counts
    training samples that were left out to train on fewer, and ``seconds`` what choosing took.
    ``pool`` is what there was to train and validate on, before anything was left out.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    copies: int = 0
    cleaned: bool = False
    near: np.ndarray | None = None
    dropped: int = 0
    held_copies: int = 0
    repeated: int = 0
    pool: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64), compare=False)
    seconds: float = field(default=0.0, compare=False)

    @property
    def every(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Training, validation and test."""
        return self.train, self.validation, self.test

    def facts(self) -> dict[str, Any]:
        near = self.near
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
            "copies": self.copies,
            "held_copies": self.held_copies,
            "repeated": self.repeated,
            "cleaned": self.cleaned,
            "near_copies": None if near is None else len(near),
            "near_examples": [] if near is None else near[:NEAR_SHOWN].tolist(),
        }


class Marks:
    """What tells copies: a hash of every sample, and of every picture where near ones are looked
    for."""

    def __init__(self, data: Data, near_copies: bool) -> None:
        self.exact = sample_digests(data)
        pictures = perceptual.pictures_of(data) if near_copies else None
        self.near = None if pictures is None else perceptual.hashes(pictures)


def divide(
    data: Data,
    seed: int,
    clean: bool = False,
    near_copies: bool = False,
    keep: float | None = None,
) -> Parts:
    """Divide along the official parts where there are any, else at random, balanced over classes
    and with every group whole.

    Equal data and arguments give equal parts. ``near_copies`` looks for pictures that are nearly
    those of another part; ``clean`` leaves copies out, near ones as well if they were looked for.
    ``keep`` is the share of every class that is trained on.
    """
    check_samples(data)
    rng = np.random.default_rng(seed)
    given = {name: np.asarray(rows) for name, rows in data.splits.items() if len(rows)}
    train = given.get("train")
    if train is None:
        named = np.concatenate([*given.values(), np.empty(0, np.int64)]).astype(np.int64)
        train = np.setdiff1d(np.arange(len(data)), named)
    labels = data.labels if data.task == "classification" else None
    test, validation = given.get("test"), given.get("validation")
    if test is None:
        test, train = _drawn(train, labels, data.groups, TEST_SHARE, rng)
    if validation is None:
        share = VALIDATION_SHARE / (1 - TEST_SHARE)
        validation, train = _drawn(train, labels, data.groups, share, rng)
    for name, rows in (("training", train), ("validation", validation), ("test", test)):
        if not len(rows):
            raise BadData(
                f"Cannot train on '{data.name}': its {len(data)} samples leave none for the "
                f"{name} part. Give at least 10, better some thousands."
            )
    parts = Parts(train, validation, test, pool=np.sort(np.concatenate([train, validation])))
    return settled(data, parts, Marks(data, near_copies), clean, keep, rng)


def settled(
    data: Data,
    parts: Parts,
    marks: Marks,
    clean: bool,
    keep: float | None,
    rng: np.random.Generator,
) -> Parts:
    """The parts with their copies counted, or left out, and trained on the share ``keep``."""
    train, validation, test = parts.every
    exact = marks.exact
    held = np.concatenate([validation, test])
    copied = np.isin(exact[train], exact[held])
    leaked = np.isin(exact[validation], exact[test])
    again = np.ones(len(train), bool)
    again[np.unique(exact[train], return_index=True)[1]] = False
    near = None if marks.near is None else _near(marks.near, train[~copied], held)
    if clean:
        train, validation = train[~copied & ~again], validation[~leaked]
        train = train if near is None else np.setdiff1d(train, near[:, 0])
        for name, rows, others in (
            ("training", train, "a validation or test"),
            ("validation", validation, "a test"),
        ):
            if not len(rows):
                raise BadData(
                    f"Cannot train on '{data.name}': every {name} sample is a copy of {others} "
                    "sample. Leave --remove-copies away, or give other samples."
                )
    began, before = time.perf_counter(), len(train)
    if keep is not None:
        train = coreset.chosen(data, train, keep, rng)
    return replace(
        parts,
        train=train,
        validation=validation,
        copies=int(copied.sum()),
        cleaned=clean,
        near=near,
        dropped=before - len(train),
        held_copies=int(leaked.sum()),
        repeated=int((again & ~copied).sum()),
        seconds=time.perf_counter() - began,
    )


def _near(found: np.ndarray, train: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Samples of the training part, each beside the held one it is near to: ``(n, 2)``."""
    place = perceptual.nearest(found[train], found[held])
    return np.stack([train[place >= 0], held[place[place >= 0]]], axis=1)


def _drawn(
    pool: np.ndarray,
    labels: np.ndarray | None,
    groups: np.ndarray | None,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A share of the pool, of every class alike, and the rest; both in ascending order.

    Groups stay whole, so of them the share is met about. Where classes are so small that rounding
    each of their shares would miss the whole's, those of some classes alone are drawn.
    """
    if groups is not None:
        _, numbers = np.unique(groups[pool], return_inverse=True)
        classes = np.zeros(len(pool), np.int64) if labels is None else labels[pool].astype(np.int64)
        taken = dealt(numbers, classes, round(1 / share), rng) == 0
        return np.sort(pool[taken]), np.sort(pool[~taken])
    shuffled = rng.permutation(pool)
    classed = [shuffled]
    if labels is not None:
        classed = [shuffled[labels[shuffled] == number] for number in np.unique(labels[pool])]
    drawn = np.concatenate([rows[: round(share * len(rows))] for rows in classed])
    wanted = max(1, round(share * len(pool)))
    if abs(len(drawn) - wanted) > MOST_OFF * wanted:
        drawn = balanced(pool, labels, rng)[:wanted]
    return np.sort(drawn), np.setdiff1d(pool, drawn)


def dealt(
    groups: np.ndarray, classes: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """The fold of every sample ``(n,)``: groups are dealt out one by one, the largest first, each
    to the fold that has the fewest samples of its classes."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    lots = rng.permutation(len(members))
    fold = np.empty(len(groups), np.int64)
    have = np.zeros((count, classes.max() + 1), np.int64)
    size = np.zeros(count, np.int64)
    for number in sorted(lots, key=lambda lot: -len(members[lot])):
        rows = members[number]
        of_class, how_many = np.unique(classes[rows], return_counts=True)
        best = int(np.lexsort((size, have[:, of_class] @ how_many))[0])
        fold[rows] = best
        have[best, of_class] += how_many
        size[best] += len(rows)
    return fold


def content(data: Data) -> str:
    """What tells whether data are the same: a hash of all samples and labels, in their order."""
    return digest(sample_digests(data).tobytes(), np.asarray(data.labels).tobytes())


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
    like = np.broadcast_to(array[:1], (len(rows), *array.shape[1:]))
    for part in blocks(like, CALCULATED_BYTES):
        yield array[rows[part]]


def prepared(data: Data, parts: Parts, scales: Mapping[str, Normalisation]) -> Data:
    """``data`` with these parts, and with a normalisation in place of its own."""
    splits = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    notes = [note for note in data.notes if not note.startswith(NORMALISED)]
    return replace(data, splits=splits, normalisation=dict(scales), notes=tuple(notes))
