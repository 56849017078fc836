"""Samples on disk and on their way into a model: parts of a data set, batches, normalisation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hasten.data.shapes import leads_with_samples
from hasten.plugin import Runner
from hasten.search.store import save_array
from hasten.types import Arrays, Data, Kernel, Spec

UINT8_INPUT = "uint8-input"
"""The trait of a model that normalises stored integers itself."""


def write_part(folder: Path, part: str, data: Data) -> None:
    """Keep one part as plain ``.npy`` files, so that children can map it into memory."""
    place = folder / part
    place.mkdir()
    for index, array in enumerate(data.inputs.values()):
        save_array(place / f"input{index}.npy", array)
    if data.labels is not None:
        save_array(place / "labels.npy", data.labels)
    (place / "names.json").write_text(json.dumps(list(data.inputs)))


@dataclass(frozen=True)
class Part:
    """One part of a data set, mapped from disk."""

    inputs: Arrays
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def head(self, count: int) -> Part:
        """The first ``count`` samples (parts are shuffled once, when they are made)."""
        labels = None if self.labels is None else self.labels[:count]
        return Part({name: array[:count] for name, array in self.inputs.items()}, labels)


def read_part(folder: Path, part: str) -> Part:
    """The part that ``write_part`` kept."""
    place = folder / part
    names = json.loads((place / "names.json").read_text())
    inputs = {
        name: np.load(place / f"input{index}.npy", mmap_mode="r", allow_pickle=False)
        for index, name in enumerate(names)
    }
    labels = place / "labels.npy"
    return Part(inputs, np.load(labels, allow_pickle=False) if labels.exists() else None)


def first(inputs: Mapping[str, np.ndarray], spec: Spec, count: int) -> Arrays:
    """A feed of exactly ``count`` samples: the first ones, repeated if there are too few.

    Inputs without a batch dimension take their first sample as it is.
    """
    return {
        tensor.name: (
            _cycled(inputs[tensor.name], count)
            if leads_with_samples(tensor, spec)
            else np.array(inputs[tensor.name][0])
        )
        for tensor in spec.inputs
    }


def _cycled(array: np.ndarray, count: int) -> np.ndarray:
    return np.ascontiguousarray(array[np.arange(count) % len(array)])


def rows(packed: Arrays, spec: Spec) -> Arrays:
    """Feeds as they were packed, with an axis of samples in front where they have none."""
    return {
        tensor.name: packed[tensor.name]
        if leads_with_samples(tensor, spec)
        else packed[tensor.name][None]
        for tensor in spec.inputs
    }


def batches(part: Part, spec: Spec, size: int) -> Iterator[tuple[Arrays, int]]:
    """Feeds of ``size`` samples with how many of them count (the last one is padded)."""
    for start in range(0, len(part), size):
        count = min(size, len(part) - start)
        window = {name: array[start : start + count] for name, array in part.inputs.items()}
        yield first(window, spec, size), count


def ready(feed: Arrays, spec: Spec, traits: frozenset[str]) -> Arrays:
    """Stored arrays as the model takes them: normalised (unless it does so itself) and cast.

    Only integers are stored data; an array of floats is normalised already.
    """
    made = {}
    for tensor in spec.inputs:
        array = feed[tensor.name]
        normalise = spec.normalisation.get(tensor.name)
        if normalise and UINT8_INPUT not in traits and array.dtype.kind in "iu":
            array = normalise(array)
        made[tensor.name] = array.astype(tensor.dtype, copy=False)
    return made


class Prepared(Runner):
    """A runner that takes data as they are stored, and pays for preparing them.

    Where the data declare a normalisation, it is part of every timed call: in NumPy in front of
    the model, or inside the graph where a technique folded it in. Otherwise nothing is added.
    """

    def __init__(self, runner: Runner, spec: Spec, traits: frozenset[str]) -> None:
        self.inner = runner
        self.facts = runner.facts
        self.spec = spec
        self.traits = traits
        self.outside = bool(spec.normalisation) and UINT8_INPUT not in traits
        if not self.outside:
            self.run = runner.run  # type: ignore[method-assign]  # nothing between clock and runtime

    def bind(self, arrays: Arrays) -> Any:
        if self.outside:
            return arrays
        return self.inner.bind(ready(arrays, self.spec, self.traits))

    def run(self, feed: Any) -> Arrays:
        return self.inner.run(self.inner.bind(ready(feed, self.spec, self.traits)))

    def submit(self, feed: Any) -> None:
        if self.outside:
            feed = self.inner.bind(ready(feed, self.spec, self.traits))
        self.inner.submit(feed)

    def drain(self) -> None:
        self.inner.drain()

    def profile(self, feed: Any) -> list[Kernel]:
        if self.outside:
            feed = self.inner.bind(ready(feed, self.spec, self.traits))
        return self.inner.profile(feed)

    def close(self) -> None:
        self.inner.close()


def outputs_over(runner: Runner, part: Part, spec: Spec, size: int) -> Arrays:
    """The model's outputs over a whole part: ``(samples, ...)`` per output.

    Outputs that do not lead with the batch are kept one per call.
    """
    pieces: dict[str, list[np.ndarray]] = {tensor.name: [] for tensor in spec.outputs}
    for feed, count in batches(part, spec, size):
        answer = runner.run(runner.bind(feed))
        for name, kept in pieces.items():
            array = np.asarray(answer[name])
            whole = array.ndim > 0 and array.shape[0] == size
            kept.append(array[:count].copy() if whole else array[None].copy())
    return {name: np.concatenate(kept) for name, kept in pieces.items()}
