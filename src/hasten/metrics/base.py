"""What every metric is, and how it finds what it reads.

A metric turns the outputs of every sample into one row of numbers, and sums of rows into a value.
Rows may be made batch by batch (``np.concatenate`` joins them); judging needs nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from hasten.errors import BadData
from hasten.types import Arrays


class Unseen(NamedTuple):
    """The worst sample there can be, as rows of the reference and of the candidate."""

    reference: np.ndarray
    candidate: np.ndarray


@dataclass(frozen=True)
class Metric(ABC):
    """One quality figure.

    ``output`` names the output that it reads (``""``: the first that fits). ``threshold`` parts
    yes from no where an output has one column, or one per label (``None``: 0.5 if the reference's
    outputs all lie between 0 and 1, else 0).
    """

    name: str
    output: str = ""
    threshold: float | None = None

    higher_is_better: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    """Whether it says how like another model's the answers are, not how good they are."""
    worst: ClassVar[float] = 0.0
    """The value that stands for outputs nothing can be computed of."""

    @abstractmethod
    def rows(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        """``(n, k)``: what each sample adds to the sums."""

    @abstractmethod
    def value(self, totals: np.ndarray) -> np.ndarray:
        """The metric from sums ``(..., k)``."""

    def unseen(self, reference: np.ndarray, candidate: np.ndarray) -> Unseen | None:
        """The worst sample that could still come; ``None``: nothing bounds it."""
        return None

    def statistics(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        """``rows`` as float64, NaN for samples with NaN or a new infinity in any output.

        ``reference`` are the reference model's outputs; for the reference itself, its own.
        """
        count = sample_count(outputs)
        if labels is not None and len(labels) != count:
            raise BadData(f"There are {len(labels)} labels for {count} samples.")
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            rows = np.array(self.rows(outputs, reference, labels), np.float64)
        rows[unusable(outputs, reference)] = np.nan
        return rows

    def harm(self, reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """How much is lost from one pair of sums to the other.

        Reference minus candidate; where less is better, the increase as a share of the
        reference's value.
        """
        before, after = self.value(reference), self.value(candidate)
        if self.higher_is_better:
            return np.asarray(before - after)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (after - before) / before
        return np.where(before > 0, share, np.where(after > 0, np.inf, 0.0))

    def to_json(self) -> dict[str, Any]:
        return {"metric": self.name, "output": self.output, "threshold": self.threshold}


# --- outputs --------------------------------------------------------------------------------------


def sample_count(outputs: Arrays) -> int:
    """How many samples the outputs are of."""
    return max(len(array) for array in outputs.values())


def floats(outputs: Arrays) -> Arrays:
    """The outputs of floating-point type."""
    return {name: a for name, a in outputs.items() if a.dtype.kind == "f" and a.ndim > 0}


def unusable(outputs: Arrays, reference: Arrays | None) -> np.ndarray:
    """``(n,)`` of bool: samples with NaN, or with an infinity that the reference has not."""
    bad = np.zeros(sample_count(outputs), bool)
    for name, array in floats(outputs).items():
        wrong = ~np.isfinite(array)
        theirs = None if reference is None else reference.get(name)
        if theirs is not None and theirs.shape == array.shape:
            wrong &= (array != theirs) | np.isnan(array)
        bad[: len(array)] |= wrong.reshape(len(array), -1).any(axis=1)
    return bad


def scores_for(metric: Metric, outputs: Arrays, truth: np.ndarray | None) -> np.ndarray:
    """The output with a score per class (or one column) that fits the labels ``truth``."""
    if metric.output:
        if metric.output not in outputs:
            known = ", ".join(outputs)
            raise BadData(f"There is no output '{metric.output}' to read. Known: {known}.")
        return outputs[metric.output]
    for array in floats(outputs).values():
        if truth is None or _fits(array, truth):
            return array
    if truth is None:
        raise BadData(f"Cannot compute {metric.name}: no output of floating-point type.")
    raise misfit(metric.name, truth, outputs)


def _fits(scores: np.ndarray, truth: np.ndarray) -> bool:
    return (
        class_axis(scores, truth) is not None
        or scores.shape == truth.shape
        or scores.shape == (*truth.shape, 1)
    )


def class_axis(scores: np.ndarray, truth: np.ndarray) -> int | None:
    """The axis over which classes compete: second or last; ``None``: one yes/no score each."""
    if scores.ndim != truth.ndim + 1:
        return None
    for axis in (1, scores.ndim - 1):
        rest = scores.shape[:axis] + scores.shape[axis + 1 :]
        if rest == truth.shape and scores.shape[axis] > 1:
            return axis
    return None


def threshold(metric: Metric, own: np.ndarray, reference: np.ndarray | None) -> float:
    """Where yes begins."""
    if metric.threshold is not None:
        return metric.threshold
    told = own if reference is None else reference
    return 0.5 if np.all((told >= 0) & (told <= 1)) else 0.0


# --- labels ---------------------------------------------------------------------------------------


def needed(metric: str, labels: np.ndarray | None) -> np.ndarray:
    """The labels, or ``BadData``."""
    if labels is None:
        raise BadData(
            f"Cannot compute {metric} without labels. Give data with labels, or use "
            "--metric agreement or --metric sqnr."
        )
    return labels


def class_numbers(metric: str, labels: np.ndarray | None) -> np.ndarray:
    """Labels as whole numbers, ``(n, 1)`` as ``(n,)``."""
    truth = needed(metric, labels)
    if truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    if truth.dtype.kind not in "iub" and not np.array_equal(truth, np.floor(truth)):
        raise BadData(
            f"Cannot compute {metric}: the labels are not whole numbers. Use --metric mse."
        )
    return truth.astype(np.int64)


def check_range(truth: np.ndarray, classes: int) -> None:
    """Refuse class numbers that the output has no score for."""
    if truth.size and not 0 <= truth.min() <= truth.max() < classes:
        raise BadData(
            f"The labels go from {truth.min()} to {truth.max()}, but the model's output has "
            f"{classes} classes (0 to {classes - 1})."
        )


def misfit(metric: str, labels: np.ndarray, outputs: Arrays) -> BadData:
    """The error for labels that fit no output."""
    shown = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    return BadData(
        f"Cannot compute {metric}: labels of shape {list(labels.shape)} fit no output ({shown}). "
        "Check the labels, or give your own metric: --metric package.module:function."
    )
