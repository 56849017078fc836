"""What the answers on the test part showed: counts by class, and the worst mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hasten.training.pictures import drawn
from hasten.training.samples import Samples

MISTAKES = 24
MOST_CHARACTERS = 150_000
"""What the pictures of the mistakes may take in the run's folder."""
POINTS = 400

Judged = tuple[dict[str, Any], dict[str, Any]]


def judged(task: str, outputs: np.ndarray, test: Samples) -> Judged:
    """Figures for ``run.json``, and examples for ``examples.json``: see ``_classes`` and so on.

    A mistake names its sample, what is true and what was answered: class numbers, or values of a
    regression. ``share`` is the probability that the model gave its wrong answer.
    """
    targets = test.targets[test.rows]
    if not _fits(task, outputs, targets):
        return {}, {}  # with a loss of the user's own, outputs may mean anything
    if task == "classification":
        return _classes(outputs, targets, test)
    if task == "multilabel":
        return _labels(outputs, targets, test)
    return _values(outputs, targets, test) if task == "regression" else ({}, {})


def _fits(task: str, outputs: np.ndarray, targets: np.ndarray) -> bool:
    """Whether outputs can be read as the task's usual answers."""
    if task == "classification":
        return outputs.ndim == 2 and outputs.shape[1] > max(1, targets.max())
    return task not in ("multilabel", "regression") or outputs.size == targets.size


def _classes(outputs: np.ndarray, targets: np.ndarray, test: Samples) -> Judged:
    """``confusion``: how often each class (row) was taken for each (column)."""
    answered = outputs.argmax(axis=1)
    table = np.zeros((outputs.shape[1],) * 2, np.int64)
    np.add.at(table, (targets, answered), 1)
    shares = _softmax(outputs)
    sure = shares[np.arange(len(answered)), answered]
    wrong = np.flatnonzero(answered != targets)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    rows = [
        {
            "true": [int(targets[n])],
            "answered": [int(answered[n])],
            "share": float(sure[n]),
            "true_share": float(shares[n, targets[n]]),
        }
        for n in worst
    ]
    return {"confusion": table.tolist()}, {"mistakes": _shown(rows, worst, test)}


def _labels(outputs: np.ndarray, targets: np.ndarray, test: Samples) -> Judged:
    """``labels``: of each label how often it was answered rightly, stood there, was answered.

    ``average_precision`` of each label, ``None`` where it stands nowhere; its mean over the others
    is mAP.
    """
    wanted, answered = targets.reshape(outputs.shape) > 0.5, outputs > 0
    counts = [(wanted & answered).sum(axis=0), wanted.sum(axis=0), answered.sum(axis=0)]
    table = np.stack(counts, axis=1)
    surety = np.where(wanted != answered, np.abs(outputs), 0).max(axis=1)
    wrong = np.flatnonzero((wanted != answered).any(axis=1))
    worst = wrong[np.argsort(-surety[wrong], kind="stable")][:MISTAKES]
    rows = [
        {
            "true": np.flatnonzero(wanted[n]).tolist(),
            "answered": np.flatnonzero(answered[n]).tolist(),
            "share": float(1 / (1 + np.exp(-surety[n]))),
        }
        for n in worst
    ]
    precisions = [average_precision(outputs[:, k], wanted[:, k]) for k in range(wanted.shape[1])]
    known = [value for value in precisions if value is not None]
    figures = {
        "labels": table.tolist(),
        "average_precision": precisions,
        "mean_average_precision": float(np.mean(known)) if known else None,
    }
    return figures, {"mistakes": _shown(rows, worst, test)}


def average_precision(scores: np.ndarray, wanted: np.ndarray) -> float | None:
    """Precision at each score as a threshold, weighted by the recall it adds; not interpolated.

    ``scores`` and ``wanted`` (bool) are ``(n,)``; equal scores are one threshold. ``None`` where
    nothing is wanted.
    """
    if not wanted.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(wanted[order])[ends]
    recall = hits / wanted.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / (ends + 1)))


def _values(outputs: np.ndarray, targets: np.ndarray, test: Samples) -> Judged:
    """``values``: of each output its errors; ``points``: some samples, truth and answer."""
    wanted = targets.reshape(len(targets), -1).astype(np.float64)
    answered = outputs.reshape(wanted.shape).astype(np.float64)
    errors = answered - wanted
    spread = wanted.var(axis=0)
    shown = [
        {
            "mae": float(np.abs(errors[:, k]).mean()),
            "rmse": float(np.sqrt((errors[:, k] ** 2).mean())),
            "bias": float(errors[:, k].mean()),
            "r2": float(1 - (errors[:, k] ** 2).mean() / spread[k]) if spread[k] else None,
        }
        for k in range(wanted.shape[1])
    ]
    # Errors of outputs of different size are compared as shares of each one's spread.
    size = np.abs(errors / np.where(spread > 0, np.sqrt(spread), 1)).max(axis=1)
    worst = np.argsort(-size, kind="stable")[: MISTAKES // 2]
    rows = [{"true": _few(wanted[n]), "answered": _few(answered[n])} for n in worst]
    chosen = np.linspace(0, len(wanted) - 1, min(len(wanted), POINTS)).round().astype(int)
    points = [[_few(wanted[n]), _few(answered[n])] for n in chosen]
    return {"values": shown}, {"mistakes": _shown(rows, worst, test), "points": points}


def _few(values: np.ndarray, most: int = 4) -> list[float]:
    return [float(f"{value:.6g}") for value in values[:most]]


def _softmax(outputs: np.ndarray) -> np.ndarray:
    powers = np.exp((outputs - outputs.max(axis=1, keepdims=True)).astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _shown(rows: list[dict[str, Any]], numbers: np.ndarray, test: Samples) -> list[dict[str, Any]]:
    """The rows with sample number and picture, as long as there is room for pictures."""
    found, used = [], 0
    for row, number in zip(rows, numbers, strict=True):
        sample = int(test.rows[number])
        picture = drawn(np.asarray(test.inputs[0][sample]))
        used += len(str(picture))
        if used > MOST_CHARACTERS:
            break
        found.append({"sample": sample, **row, **picture})
    return found
