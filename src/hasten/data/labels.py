"""What labels mean, and whether they fit a model's outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hasten.errors import BadData
from hasten.types import Data, Spec


def understood(data: Data) -> Data:
    """``data`` with a task for its labels, told from their dtype and shape.

    ``(n,)`` or ``(n, 1)`` whole numbers are classes; rows with exactly one 1 are one-hot classes;
    other rows of 0/1, floats as well, are several labels at once; anything else is a regression
    target. Whole numbers with more axes keep an empty task: only the user's own metric can read
    them.
    """
    if data.labels is None or data.task:
        return data
    labels = data.labels
    table = labels.ndim == 2 and labels.shape[1] > 1
    if labels.dtype.kind == "f" and table and np.isin(labels, (0, 1)).all():
        labels = labels.astype(np.int64)
        data = replace(data, labels=labels)
    if labels.dtype.kind == "f" or labels.ndim == 0:
        return replace(data, task="regression")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 1:
        return replace(data, labels=labels.astype(np.int64), task="classification")
    if labels.ndim > 2:
        return data
    if labels.min() < 0 or labels.max() > 1:
        return replace(data, task="regression")
    if np.all(labels.sum(axis=1) == 1):
        note = "The labels are one-hot rows; they are read as class numbers."
        classes = labels.argmax(axis=1).astype(np.int64)
        return replace(data, labels=classes, task="classification", notes=(*data.notes, note))
    return replace(data, task="multilabel")


def fit_labels(data: Data, spec: Spec) -> Data:
    """``data`` with labels, task and class names as the model has them, or ``BadData``."""
    if data.labels is None:
        return replace(data, classes=data.classes or spec.labels)
    if spec.task == "regression" and data.task in ("classification", "multilabel"):
        note = "Whole-number labels are read as regression targets, the model's task."
        targets = data.labels.astype(np.float32)
        data = replace(data, labels=targets, task="regression", notes=(*data.notes, note))
    if data.task == "classification":
        check_class_numbers(data)
        data = _named_alike(data, spec)
        _check_classes(data, spec)
    elif data.task == "multilabel":
        _check_columns(data, spec)
    elif data.task == "regression":
        _check_targets(data, spec)
    return replace(data, classes=data.classes or spec.labels)


def _named_alike(data: Data, spec: Spec) -> Data:
    """Class numbers that follow the model's labels, where both name the same classes."""
    known = {label: number for number, label in enumerate(spec.labels)}
    same = data.classes and data.classes == spec.labels[: len(data.classes)]
    if not data.classes or same or not all(name in known for name in data.classes):
        return data
    numbers = np.array([known[name] for name in data.classes], np.int64)
    note = "Class numbers follow the order of the model's labels."
    return replace(
        data, labels=numbers[data.labels], classes=spec.labels, notes=(*data.notes, note)
    )


def _widths(spec: Spec) -> list[int]:
    """The number of columns of every output that is a table with one row per sample."""
    tables = [tensor.shape for tensor in spec.outputs if len(tensor.shape) == 2]
    return [shape[1] for shape in tables if isinstance(shape[1], int)]


def check_class_numbers(data: Data) -> None:
    """Whole numbers from 0, below the number of class names; else ``BadData``."""
    labels = np.asarray(data.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise BadData(
            f"Cannot use the labels of '{data.name}': they are {labels.dtype} of shape "
            f"{labels.shape}. Give one whole number per sample, its class."
        )
    if labels.min() < 0:
        worst = int(labels.argmin())
        raise BadData(
            f"Cannot use the labels of '{data.name}': label {labels[worst]} of sample {worst} is "
            "negative. Number the classes from 0; leave out samples without a class."
        )
    if data.classes and labels.max() >= len(data.classes):
        raise BadData(
            f"Cannot use the labels of '{data.name}': label {labels.max()} has no name among the "
            f"{len(data.classes)} classes. Name every class, or none."
        )


def _check_classes(data: Data, spec: Spec) -> None:
    labels = np.asarray(data.labels)
    widths = _widths(spec)
    allowed = max((2 if width == 1 else width for width in widths), default=None)
    if allowed is not None and labels.max() >= allowed:
        worst = int(labels.argmax())
        raise BadData(
            f"Cannot use the labels of '{data.name}': label {labels[worst]} of sample {worst} is "
            f"beyond the model's output of {max(widths)} column{'s' * (max(widths) > 1)}. Number "
            f"the classes 0 to {allowed - 1}, or give regression targets as floats."
        )


def _check_columns(data: Data, spec: Spec) -> None:
    columns = np.asarray(data.labels).shape[1]
    widths = _widths(spec)
    if widths and columns not in widths:
        raise BadData(
            f"Cannot use the labels of '{data.name}': they have {columns} columns of 0/1, the "
            f"model's output has {' or '.join(map(str, widths))}. Give one column per output."
        )


def _check_targets(data: Data, spec: Spec) -> None:
    labels = np.asarray(data.labels)
    wanted = [tensor.shape[1:] for tensor in spec.outputs]
    if len(wanted) != 1 or not all(isinstance(size, int) for size in wanted[0]):
        return
    given, needed = int(np.prod(labels.shape[1:])), int(np.prod([int(s) for s in wanted[0]]))
    if given != needed:
        raise BadData(
            f"Cannot use the labels of '{data.name}': each target has shape "
            f"{tuple(labels.shape[1:])}, the model's output {tuple(wanted[0])}. Store 'y' with "
            f"shape {('samples', *wanted[0])}, or class numbers as integers."
        )
