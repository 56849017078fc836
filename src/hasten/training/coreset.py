"""Fewer training samples: a share of every class, spread over it evenly.

**Source:** the cells of a k-d tree (Bentley, "Multidimensional Binary Search Trees", CACM 1975) as
the strata of stratified sampling (Neyman 1934; Cochran, "Sampling Techniques", chapter 5): every
class is halved along the feature that varies most until there are as many cells as samples to keep,
and one of each cell is drawn. So every sample is as likely as any other, but for rounding, and no
region is left out. Features need no training: they are the samples themselves averaged over a
coarse grid, every one brought to mean 0 and spread 1.

Herding (Rebuffi et al., arXiv:1611.07725, algorithm 4) on the same features was tried and is worse
than chance. Guo et al., "DeepCore", arXiv:2204.08499, find random samples hard to beat: so nothing
is left out unless asked for, and what it saves is said beside what it cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.data._storage import CALCULATED_BYTES, blocks, empty
from hasten.training.order import batch_count
from hasten.types import Data

if TYPE_CHECKING:
    from hasten.plugin.training import Setup
    from hasten.training.parts import Parts

CELLS = 4
"""Of the coarse grid, along height, width and frames."""
SEGMENTS = 16
"""Of a series along time."""
LEAST_SPREAD = 1e-6
LOOKED_AT = 10_000
"""Samples that tell which feature varies most."""


def chosen(data: Data, rows: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The rows that are kept, ascending: the share of every class, at least one sample of each."""
    found = features(data, rows)
    labels = np.zeros(len(rows), np.int64)
    if data.task == "classification" and data.labels is not None:
        labels = data.labels[rows]
    kept = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        kept += _drawn(found, places, max(1, round(share * len(places))), rng)
    return np.sort(rows[kept])


def _drawn(
    found: np.ndarray, places: np.ndarray, count: int, rng: np.random.Generator
) -> list[int]:
    """``count`` of some places in ``found`` ``(n, features)``, one from each cell."""
    if count == 1:
        return [int(rng.choice(places))]
    axis = found[places[:: -(-len(places) // LOOKED_AT)]].var(axis=0).argmax()
    ordered = places[np.argsort(found[places, axis], kind="stable")]
    left = count // 2
    cut = round(len(ordered) * left / count)
    return [
        *_drawn(found, ordered[:cut], left, rng),
        *_drawn(found, ordered[cut:], count - left, rng),
    ]


def features(data: Data, rows: np.ndarray) -> np.ndarray:
    """What samples are compared by, float32 ``(n, features)``; large ones lie on disk."""
    arrays = list(data.inputs.values())
    widths = [_pooled(array[:1]).shape[1] for array in arrays]
    out = empty((len(rows), sum(widths)), np.dtype(np.float32))
    for array, start in zip(arrays, np.cumsum([0, *widths]), strict=False):
        like = np.broadcast_to(array[:1], (len(rows), *array.shape[1:]))
        for part in blocks(like, CALCULATED_BYTES):
            pooled = _pooled(array[rows[part]])
            out[part, start : start + pooled.shape[1]] = pooled
    parts = list(blocks(out, CALCULATED_BYTES))
    total: Any = sum(out[part].sum(axis=0, dtype=np.float64) for part in parts)
    mean: Any = total / len(out)
    squares: Any = sum(((out[part] - mean) ** 2).sum(axis=0) for part in parts)
    spread = np.maximum(np.sqrt(squares / len(out)), LEAST_SPREAD)
    for part in parts:
        out[part] -= mean
        out[part] /= spread
    return out


def _pooled(array: np.ndarray) -> np.ndarray:
    """Samples averaged over a coarse grid, ``(n, features)``: vectors as they are."""
    cells: Sequence[tuple[int, int]] = {
        3: ((1, SEGMENTS),),
        4: ((2, CELLS), (3, CELLS)),
        5: ((1, CELLS), (3, CELLS), (4, CELLS)),
    }.get(array.ndim, ())
    out: np.ndarray = array.astype(np.float32)
    for axis, count in cells:
        if out.shape[axis] > count:
            edges = np.arange(count) * out.shape[axis] // count
            sizes = np.diff([*edges, out.shape[axis]])
            shape = [1] * out.ndim
            shape[axis] = count
            out = np.add.reduceat(out, edges, axis=axis) / sizes.reshape(shape).astype(np.float32)
    return out.reshape(len(out), -1)


def worth(parts: Parts, setup: Setup, sample_seconds: float) -> dict[str, Any] | None:
    """What choosing cost and what it saves; ``None`` if all samples are in use.

    Without ``sample_seconds`` (steps were not timed) only steps are counted.
    """
    if not parts.dropped:
        return None
    kept = len(parts.train)
    steps = batch_count(kept + parts.dropped, setup.batch) - batch_count(kept, setup.batch)
    found: dict[str, Any] = {
        "kept": kept,
        "of": kept + parts.dropped,
        "seconds": parts.seconds,
        "steps_saved_per_epoch": steps,
    }
    if sample_seconds and steps:
        per_epoch = steps * setup.batch * sample_seconds
        found |= {
            "seconds_saved_per_epoch": per_epoch,
            "seconds_saved": per_epoch * setup.epochs - parts.seconds,
            "pays_after_epochs": parts.seconds / per_epoch,
        }
    return found
