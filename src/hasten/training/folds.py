"""Cross-validation: every sample outside the test part validates once.

**Source:** folds are stratified as usual: each has every class's share. The interval of the mean
allows for training sets that overlap: Nadeau and Bengio, "Inference for the Generalization Error",
Machine Learning 52 (2003), equation 4: the variance is multiplied by ``1/k + 1/(k - 1)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hasten import stats
from hasten.errors import BadData
from hasten.training.parts import Marks, Parts, dealt, settled
from hasten.types import Data

CONFIDENCE = 0.95
_STREAM = 3
"""Apart from the random numbers that draw the test part."""


def divide_folds(
    data: Data,
    parts: Parts,
    count: int,
    seed: int,
    clean: bool = False,
    near_copies: bool = False,
    keep: float | None = None,
) -> list[Parts]:
    """``count`` ways to divide what is trained and validated on; the test part stays.

    Samples of one group stay together, and so do exact copies where the data name no groups. Copies
    are counted, or left out, and ``keep`` drawn for every fold by itself. Equal arguments give
    equal folds. Raises ``BadData`` where a class, or the whole, has fewer groups than folds.
    """
    pool, marks = parts.pool, Marks(data, near_copies)
    named = data.groups if data.groups is not None else marks.exact
    _, groups = np.unique(np.asarray(named)[pool], return_inverse=True)
    classes = np.zeros(len(pool), np.int64)
    if data.task == "classification" and data.labels is not None:
        classes = np.asarray(data.labels)[pool].astype(np.int64)
    _check(data, groups, classes, count)
    fold = dealt(groups, classes, count, np.random.default_rng([seed, _STREAM]))
    divided = [
        replace(parts, train=pool[fold != number], validation=pool[fold == number])
        for number in range(count)
    ]
    return [
        settled(data, one, marks, clean, keep, np.random.default_rng([seed, _STREAM, number]))
        for number, one in enumerate(divided)
    ]


def _check(data: Data, groups: np.ndarray, classes: np.ndarray, count: int) -> None:
    what = "groups" if data.groups is not None else "different samples"
    found = len(np.unique(groups))
    if found < count:
        raise BadData(
            f"Cannot divide '{data.name}' into {count} folds: it has {found} {what} outside the "
            "test part. Give fewer --folds."
        )
    for number in np.unique(classes):
        found = len(np.unique(groups[classes == number]))
        if found < count:
            name = data.classes[number] if number < len(data.classes) else str(number)
            raise BadData(
                f"Cannot divide '{data.name}' into {count} folds: class '{name}' has {found} "
                f"{what} outside the test part. Give fewer --folds, or more samples of it."
            )


def mean(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean over the folds and its 95 % interval, in the metric's unit."""
    count = len(values)
    middle = float(np.mean(values))
    reach = stats.student_quantile(CONFIDENCE, count - 1) * float(np.std(values, ddof=1))
    reach *= math.sqrt(1 / count + 1 / (count - 1))
    return middle, middle - reach, middle + reach
