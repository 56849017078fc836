"""The metrics, and how a name becomes one."""

from __future__ import annotations

import importlib
import re
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from hasten.errors import BadData, BadInput, UnknownName
from hasten.imports import working_folder_first
from hasten.metrics.base import (
    Metric,
    Unseen,
    check_range,
    class_axis,
    class_numbers,
    floats,
    misfit,
    needed,
    sample_count,
    scores_for,
    threshold,
)
from hasten.types import Arrays

DECIBEL_CAP = 200.0
"""SQNR ends here: no error at all reads 200 dB, no signal -200 dB."""


# --- means of a score per sample ------------------------------------------------------------------


class MeanScore(Metric):
    """The mean of a score per sample, where more is better. Rows are ``(score, 1)``."""

    @abstractmethod
    def scores(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        """``(n,)``."""

    def rows(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        scores = self.scores(outputs, reference, labels)
        return np.stack([scores, np.ones(len(scores))], axis=1)

    def value(self, totals: np.ndarray) -> np.ndarray:
        return np.asarray(totals[..., 0] / totals[..., 1])

    def unseen(self, reference: np.ndarray, candidate: np.ndarray) -> Unseen | None:
        """From the best to the worst score: 1 and 0, or beyond if that was seen."""
        seen = np.concatenate([reference[:, 0], candidate[:, 0]])
        best, least = max(1.0, seen.max()), min(0.0, seen.min())
        return Unseen(np.array([best, 1.0]), np.array([least, 1.0]))


def _per_sample(hits: np.ndarray) -> np.ndarray:
    return np.asarray(hits.reshape(len(hits), -1).mean(axis=1))


class Accuracy(MeanScore):
    """The share of decisions that equal the label (of pixels or tokens, where there are many)."""

    def scores(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        truth = class_numbers(self.name, labels)
        scores = scores_for(self, outputs, truth)
        axis = class_axis(scores, truth)
        if axis is not None:
            check_range(truth, scores.shape[axis])
            return _per_sample(scores.argmax(axis=axis) == truth)
        if scores.size != truth.size:
            raise misfit(self.name, truth, outputs)
        check_range(truth, 2)
        told = None if reference is None else scores_for(self, reference, truth)
        return _per_sample((scores > threshold(self, scores, told)).reshape(truth.shape) == truth)


class TopK(MeanScore):
    """The share of samples whose label is among the k highest scores: ``top5``, ``top3`` …"""

    def scores(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        k, truth = int(self.name.removeprefix("top")), class_numbers(self.name, labels)
        scores = scores_for(self, outputs, truth)
        if truth.ndim != 1 or scores.ndim != 2:
            raise misfit(self.name, truth, outputs)
        if scores.shape[1] <= k:
            raise BadData(
                f"Cannot compute {self.name} of {scores.shape[1]} classes: all of them are among "
                f"the first {k}. Use --metric accuracy."
            )
        check_range(truth, scores.shape[1])
        own = np.take_along_axis(scores, truth[:, None], axis=1)
        return np.asarray((scores > own).sum(axis=1) < k, np.float64)


class Agreement(MeanScore):
    """The share of decisions that equal the reference model's."""

    compares: ClassVar = True

    def scores(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        mine = scores_for(self, outputs, None)
        theirs = mine if reference is None else scores_for(self, reference, None)
        if mine.shape != theirs.shape:
            raise BadData(f"Outputs {list(mine.shape)} differ in shape from {list(theirs.shape)}.")
        if mine.ndim == 1 or mine.shape[1] == 1:
            cut = threshold(self, mine, theirs)
            return _per_sample((mine > cut) == (theirs > cut))
        axis = 2 if mine.ndim == 3 else 1
        return _per_sample(mine.argmax(axis=axis) == theirs.argmax(axis=axis))


class UserScore(MeanScore):
    """The user's own ``function(outputs, labels) -> (n,)``; more is better.

    Scores are taken to lie from 0 to 1, or as far as any that was seen.
    """

    def scores(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        scores = np.asarray(load_function(self.name)(outputs, labels))
        wanted = (sample_count(outputs),)
        if scores.shape != wanted or scores.dtype.kind not in "fiub":
            raise BadInput(
                f"Metric '{self.name}' returned {scores.dtype}{list(scores.shape)}; it must "
                f"return one number per sample: float{list(wanted)}."
            )
        return scores.astype(np.float64)


# --- metrics of sums ------------------------------------------------------------------------------


class F1(Metric):
    """F1, averaged over the classes: of class numbers, or of a 0/1 matrix of labels.

    Rows are, per class, hits, labels and decisions. Classes without label and decision do not
    count.
    """

    def rows(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        truth = class_numbers(self.name, labels)
        scores = scores_for(self, outputs, truth)
        if truth.ndim == 2 and truth.shape == scores.shape:
            check_range(truth, 2)
            told = None if reference is None else scores_for(self, reference, truth)
            wanted, chosen = truth == 1, scores > threshold(self, scores, told)
        elif truth.ndim == 1 and scores.ndim == 2:
            check_range(truth, scores.shape[1])
            classes = np.arange(scores.shape[1])
            wanted = truth[:, None] == classes
            chosen = scores.argmax(axis=1)[:, None] == classes
        else:
            raise misfit(self.name, truth, outputs)
        return np.concatenate([wanted & chosen, wanted, chosen], axis=1)

    def value(self, totals: np.ndarray) -> np.ndarray:
        hits, wanted, chosen = np.split(totals, 3, axis=-1)
        present = wanted + chosen > 0
        f1 = np.where(present, 2 * hits / np.where(present, wanted + chosen, 1), 0)
        return np.asarray(f1.sum(axis=-1) / np.maximum(present.sum(axis=-1), 1))

    def unseen(self, reference: np.ndarray, candidate: np.ndarray) -> Unseen | None:
        """The sample of one class, taken for the next, that would cost most."""
        one = np.eye(reference.shape[1] // 3)
        right = np.concatenate([one, one, one], axis=1)
        wrong = np.concatenate([0 * one, one, np.roll(one, 1, axis=1)], axis=1)
        cost = self.harm(reference.sum(axis=0) + right, candidate.sum(axis=0) + wrong)
        costliest = int(np.argmax(cost))
        return Unseen(right[costliest], wrong[costliest])


class MeanError(Metric):
    """``mse`` or ``mae`` against the labels. Rows are ``(mean error of the sample, 1)``."""

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = sys.float_info.max

    def rows(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        truth = needed(self.name, labels)
        fits = [a for a in floats(outputs).values() if a.shape == truth.shape]
        fits += [a for a in floats(outputs).values() if a.size == truth.size]
        if not fits:
            raise misfit(self.name, truth, outputs)
        answer = scores_for(self, outputs, None) if self.output else fits[0]
        flat = answer.reshape(len(truth), -1).astype(np.float64)
        error = flat - truth.reshape(len(truth), -1)
        size = np.abs(error) if self.name == "mae" else error**2
        return np.stack([size.mean(axis=1), np.ones(len(truth))], axis=1)

    def value(self, totals: np.ndarray) -> np.ndarray:
        return np.asarray(totals[..., 0] / totals[..., 1])


class Sqnr(Metric):
    """Signal over error against the reference's outputs in dB; the worst float output counts.

    10·log10(Σ reference² / Σ error²) over all samples. Rows are (signal, error) per output.
    """

    compares: ClassVar = True
    worst: ClassVar[float] = -DECIBEL_CAP

    def rows(
        self, outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
    ) -> np.ndarray:
        wanted = floats(outputs if reference is None else reference)
        wanted = {name: array for name, array in wanted.items() if self.output in ("", name)}
        if not wanted:
            raise BadData("Cannot compute sqnr: there is no output of floating-point type.")
        rows = np.zeros((sample_count(outputs), 2 * len(wanted)))
        for index, (name, array) in enumerate(wanted.items()):
            rows[: len(array), 2 * index : 2 * index + 2] = _signal_and_error(array, outputs[name])
        return rows

    def value(self, totals: np.ndarray) -> np.ndarray:
        signal, error = totals[..., 0::2], totals[..., 1::2]
        with np.errstate(divide="ignore", invalid="ignore"):
            decibel = 10 * np.log10(signal / error)
        decibel = np.where(error > 0, decibel, DECIBEL_CAP)
        return np.asarray(np.clip(decibel, -DECIBEL_CAP, DECIBEL_CAP).min(axis=-1))


def _signal_and_error(wanted: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Sums of squares ``(n, 2)``. Infinities that both have are neither signal nor error."""
    if wanted.shape != got.shape:
        raise BadData(f"Outputs {list(got.shape)} differ in shape from {list(wanted.shape)}.")
    flat = wanted.reshape(len(wanted), -1).astype(np.float64)
    other = got.reshape(len(got), -1).astype(np.float64)
    error = np.where(flat == other, 0.0, other - flat)
    signal = np.where(np.isfinite(flat), flat, 0.0)
    return np.stack([(signal**2).sum(axis=1), (error**2).sum(axis=1)], axis=1)


# --- names ----------------------------------------------------------------------------------------

KINDS: Mapping[str, type[Metric]] = {
    "accuracy": Accuracy,
    "top5": TopK,
    "f1": F1,
    "mse": MeanError,
    "mae": MeanError,
    "agreement": Agreement,
    "sqnr": Sqnr,
}


def named(name: str, output: str = "", threshold: float | None = None) -> Metric:
    """The metric called ``name``: a known one, ``topK``, or ``"package.module:function"``."""
    if ":" in name:
        load_function(name)
        return UserScore(name, output, threshold)
    if re.fullmatch(r"top[1-9]\d*", name):
        return TopK(name, output, threshold)
    if name not in KINDS:
        raise UnknownName.among("metric", name, [*KINDS, "package.module:function"])
    return KINDS[name](name, output, threshold)


def load_function(name: str) -> Callable[[Arrays, np.ndarray | None], Any]:
    """The user's function, looked for in the working folder, too."""
    module_name, _, attribute = name.partition(":")
    try:
        with working_folder_first():
            module = importlib.import_module(module_name)
    except ImportError as error:
        raise BadInput(
            f"Cannot load metric '{name}': {error}. Write it as package.module:function and run "
            "where the module can be imported."
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise BadInput(f"Cannot load metric '{name}': '{module_name}' has no such function.")
    return function  # type: ignore[no-any-return]
