"""Named arrays and Python objects as ``Data``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hasten.data._storage import empty
from hasten.errors import BadData
from hasten.types import Data, Spec

LABELS = "y"
GROUPS = "groups"
CLASSES = "classes"
PARTS = ("train", "validation", "test")


def from_arrays(name: str, arrays: Mapping[str, Any], spec: Spec | None, **facts: Any) -> Data:
    """``arrays`` by name: ``y`` holds labels, ``groups`` what samples belong to, ``train``,
    ``validation`` and ``test`` sample numbers, ``classes`` class names, unless the model has an
    input of that name; the rest are inputs."""
    taken = {tensor.name for tensor in spec.inputs} if spec else set()
    special = {key: arrays[key] for key in (LABELS, GROUPS, CLASSES, *PARTS) if key in arrays}
    special = {key: value for key, value in special.items() if key not in taken}
    inputs = {key: as_array(value) for key, value in arrays.items() if key not in special}
    labels, groups = special.get(LABELS), special.get(GROUPS)
    return Data(
        name,
        inputs,
        None if labels is None else as_array(labels),
        classes=tuple(map(str, special.get(CLASSES, ()))),
        splits={part: as_array(special[part]) for part in PARTS if part in special},
        groups=None if groups is None else as_array(groups),
        **facts,
    )


def as_array(value: Any) -> np.ndarray:
    """A NumPy array of an array-like; a torch tensor is detached and brought to the CPU."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise BadData(
            f"Cannot make an array of a {type(value).__name__} ({error}). Give NumPy arrays of "
            "booleans, integers or floats."
        ) from error


def from_object(name: str, thing: Any, spec: Spec | None) -> Data:
    """Whatever a user's code may give: ``Data``, mapping, tuple, array, or a map-style dataset."""
    if isinstance(thing, Data):
        return thing
    if isinstance(thing, Mapping):
        return from_arrays(name, thing, spec)
    if isinstance(thing, tuple | np.ndarray) or hasattr(thing, "detach"):
        return from_arrays(name, _fields(thing, spec, name), spec)
    mapped = hasattr(thing, "__getitem__") and hasattr(thing, "__len__")
    if mapped and not isinstance(thing, list | str | bytes):
        return _stacked(name, thing, spec)
    raise BadData(
        f"Cannot load data from '{name}': a {type(thing).__name__} is not data. Give a "
        "hasten.Data, a torch Dataset with a length, a tuple (inputs, labels), or a mapping of "
        "arrays."
    )


def _fields(sample: Any, spec: Spec | None, name: str) -> Mapping[str, Any]:
    """The named values of ``x``, ``(x, y)``, ``(x1, x2, y)``, ``((x1, x2), y)`` or a mapping.

    Where the number of values equals that of the model's inputs, none is a label.
    """
    if isinstance(sample, Mapping):
        return sample
    if not isinstance(sample, tuple | list):
        return dict(zip(_names(1, spec), [sample], strict=True))
    if not sample:
        raise BadData(f"Cannot load data from '{name}': a tuple is empty. Give (inputs, labels).")
    unlabelled = len(sample) == 1 or (spec is not None and len(sample) == len(spec.inputs))
    *inputs, label = (*sample, None) if unlabelled else sample
    unlabelled = unlabelled or label is None
    if len(inputs) == 1 and isinstance(inputs[0], Mapping):
        named = dict(inputs[0])
    else:
        if len(inputs) == 1 and isinstance(inputs[0], tuple | list):
            inputs = list(inputs[0])
        named = dict(zip(_names(len(inputs), spec), inputs, strict=True))
    return named if unlabelled else {**named, LABELS: label}


def _names(count: int, spec: Spec | None) -> list[str]:
    if spec is not None and len(spec.inputs) == count:
        return [tensor.name for tensor in spec.inputs]
    return ["x"] if count == 1 else [f"x{number}" for number in range(count)]


def _stacked(name: str, dataset: Any, spec: Spec | None) -> Data:
    """Every sample of a map-style dataset, read once in order into arrays."""
    count = len(dataset)
    if count == 0:
        raise BadData(f"Cannot load data from '{name}': the dataset holds no samples.")
    columns: dict[str, np.ndarray] = {}
    for number in range(count):
        sample = _sample(dataset, number, spec, name)
        if not columns:
            columns = {k: empty((count, *v.shape), v.dtype) for k, v in sample.items()}
        _check_like_first(name, number, sample, columns)
        for key, value in sample.items():
            columns[key][number] = value
    classes = getattr(dataset, CLASSES, None)
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        return from_arrays(name, {CLASSES: classes, **columns}, spec)
    return from_arrays(name, columns, spec)


def _sample(dataset: Any, number: int, spec: Spec | None, name: str) -> dict[str, np.ndarray]:
    try:
        sample = dataset[number]
    except Exception as error:
        raise BadData(
            f"Cannot load data from '{name}': reading sample {number} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    return {key: as_array(value) for key, value in _fields(sample, spec, name).items()}


def _check_like_first(
    name: str, number: int, sample: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]
) -> None:
    if sample.keys() != columns.keys():
        raise BadData(
            f"Cannot load data from '{name}': sample {number} has {', '.join(sample)}, sample 0 "
            f"has {', '.join(columns)}. Every sample must hold the same."
        )
    for key, value in sample.items():
        column = columns[key]
        if value.shape != column.shape[1:] or not np.can_cast(value.dtype, column.dtype):
            raise BadData(
                f"Cannot load data from '{name}': '{key}' of sample {number} is {value.dtype} of "
                f"shape {value.shape}, of sample 0 {column.dtype} of shape {column.shape[1:]}. "
                "Resize or pad the samples so that all are alike."
            )
