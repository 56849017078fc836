"""Tensors and what they mean: arrays, shapes, normalisation, a model's specification, samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
"""Named arrays: what a model takes and gives."""

BATCH = "batch"
"""The name of the free leading dimension."""


def canonical(value: object) -> str:
    """``value`` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    """Turn what JSON does not know (NumPy scalars, tuples, sets, paths) into what it knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, frozenset | set):
        return sorted(value)
    return str(value)


def digest(*parts: str | bytes) -> str:
    """SHA-256 of the parts, each preceded by its length, as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        sha.update(len(raw).to_bytes(8, "little"))
        sha.update(raw)
    return sha.hexdigest()


def freeze(value: Any) -> Any:
    """``value`` with every list turned into a tuple, so that it can be hashed and compared."""
    return tuple(freeze(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its name, NumPy dtype name, and shape.

    A dimension is an ``int``, or a ``str`` that names a free dimension (``"batch"`` for the
    leading one over which samples are independent).
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the free dimensions, in order, each once."""
        return tuple(dict.fromkeys(dim for dim in self.shape if isinstance(dim, str)))

    @property
    def batched(self) -> bool:
        """Whether the leading dimension is the free batch."""
        return bool(self.shape) and self.shape[0] == BATCH

    def bound(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with every free dimension replaced by its size."""
        return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in self.shape)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TensorSpec:
        return cls(raw["name"], raw["dtype"], tuple(raw["shape"]))

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Normalisation:
    """How stored integers become what the model was trained on: ``(x * scale - mean) / std``.

    ``mean`` and ``std`` hold one number per channel (or one for all); ``axis`` is the channel
    axis of a batch.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    axis: int = 1

    def affine(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """``(a, b)``, float32, broadcastable to a batch of ``rank``: normalised = x * a + b."""
        shape = [1] * rank
        shape[self.axis] = -1
        mean, std = (np.asarray(v, np.float64).reshape(shape) for v in (self.mean, self.std))
        return (self.scale / std).astype(np.float32), (-mean / std).astype(np.float32)

    def __call__(self, stored: np.ndarray) -> np.ndarray:
        """Normalise a batch to float32."""
        a, b = self.affine(stored.ndim)
        out = stored.astype(np.float32)
        out *= a
        out += b
        return out

    def to_json(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
            "axis": self.axis,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Normalisation:
        return cls(raw["scale"], tuple(raw["mean"]), tuple(raw["std"]), raw["axis"])


@dataclass(frozen=True)
class Spec:
    """What a model takes and gives, and what its answers mean.

    ``task`` is ``"classification"``, ``"multilabel"``, ``"regression"`` or ``""`` (unknown).
    ``normalisation`` maps an input's name to how stored data become that input.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    task: str = ""
    labels: tuple[str, ...] = ()
    normalisation: Mapping[str, Normalisation] = field(default_factory=dict)

    @property
    def batched(self) -> bool:
        """Whether the batch is free: every input leads with it."""
        return all(tensor.batched for tensor in self.inputs)

    @property
    def free(self) -> tuple[str, ...]:
        """Names of all free dimensions of the inputs, each once."""
        return tuple(dict.fromkeys(dim for tensor in self.inputs for dim in tensor.free))

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [tensor.to_json() for tensor in self.inputs],
            "outputs": [tensor.to_json() for tensor in self.outputs],
            "task": self.task,
            "labels": list(self.labels),
            "normalisation": {name: n.to_json() for name, n in self.normalisation.items()},
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Spec:
        return cls(
            tuple(map(TensorSpec.from_json, raw["inputs"])),
            tuple(map(TensorSpec.from_json, raw["outputs"])),
            raw.get("task", ""),
            tuple(raw.get("labels", ())),
            {k: Normalisation.from_json(v) for k, v in raw.get("normalisation", {}).items()},
        )


@dataclass(frozen=True)
class Data:
    """Samples with, where known, their labels, official splits and normalisation.

    ``inputs`` maps a name to an array ``(samples, ...)``; ``labels`` is ``(samples,)`` of class
    numbers, ``(samples, classes)`` of 0/1, or targets of any shape. ``splits`` maps ``"train"``,
    ``"validation"`` and ``"test"`` to sample indices where the source declares them. Arrays that
    have a ``normalisation`` are stored raw (uint8) and normalised on the way into the model.
    ``groups`` ``(samples,)`` names what a sample belongs to (a person, a machine): samples of one
    group never stand in two parts or folds.
    """

    name: str
    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None = None
    task: str = ""
    classes: tuple[str, ...] = ()
    splits: Mapping[str, np.ndarray] = field(default_factory=dict)
    normalisation: Mapping[str, Normalisation] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    notes: Sequence[str] = ()
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, index: np.ndarray) -> Data:
        """The samples at ``index``, without splits."""
        inputs = {name: array[index] for name, array in self.inputs.items()}
        labels = None if self.labels is None else self.labels[index]
        groups = None if self.groups is None else self.groups[index]
        return replace(self, inputs=inputs, labels=labels, splits={}, groups=groups)
