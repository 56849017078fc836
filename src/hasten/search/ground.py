"""The ground a search stands on: model, samples and limit, checked and kept for the children."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hasten import data as data_room
from hasten.data import check, splits
from hasten.data.shapes import leads_with_samples
from hasten.errors import BadInput
from hasten.plugin import Source
from hasten.search.build import SPEC_FILE, find_frontend
from hasten.search.samples import write_part
from hasten.search.settings import Settings
from hasten.search.store import Store
from hasten.search.workshop import Workshop
from hasten.types import BATCH, Data, Spec, TensorSpec, canonical, digest

SYNTHETIC_SAMPLES = 16
HASHED_SAMPLES = 256


@dataclass(frozen=True)
class Original:
    """The user's model as the children described it."""

    name: str
    note: Mapping[str, Any]
    spec: Spec
    sizes: Mapping[str, int]
    data: Data | None

    @property
    def exportable(self) -> bool:
        return bool(self.note["held"] == "store")

    @property
    def traits(self) -> frozenset[str]:
        return frozenset(self.note["traits"])


def read(
    workshop: Workshop, settings: Settings, source: Source, what_data: Any, name: str
) -> Original:
    """Load model and data in the order in which one can tell about the other."""
    found = find_frontend(source.what)
    if found.describes(source.what):
        note = workshop.ingest(_with_examples(source, settings.shapes), settings.sizes)
        spec = Spec.from_json(note["spec"])
        data = None if what_data is None else data_room.load(what_data, spec)
    else:
        data = None if what_data is None else data_room.load(what_data)
        shapes = settings.shapes or (examples(data) if data is not None else ())
        note = workshop.ingest(_with_examples(source, shapes), settings.sizes)
        spec = Spec.from_json(note["spec"])
    if data is not None:
        data = check.fit(data, spec)
    sizes = bound_sizes(spec, settings, data)
    declared = replace(
        spec,
        task=(data.task if data else "") or spec.task,
        labels=(data.classes if data else ()) or spec.labels,
        normalisation=dict(data.normalisation) if data else {},
    )
    return Original(name, note, declared, sizes, data)


def _with_examples(source: Source, shapes: tuple[TensorSpec, ...]) -> Source:
    return replace(source, examples=shapes) if shapes else source


def examples(data: Data) -> tuple[TensorSpec, ...]:
    """What the data say about a model's inputs: normalised and float64 arrays become float32."""
    found = []
    for name, array in data.inputs.items():
        floats = name in data.normalisation or array.dtype.kind == "f" or array.dtype == np.uint8
        dtype = "float32" if floats else str(array.dtype)
        found.append(TensorSpec(name, dtype, (BATCH, *array.shape[1:])))
    return tuple(found)


def bound_sizes(spec: Spec, settings: Settings, data: Data | None) -> dict[str, int]:
    """A size for every free dimension but the batch: as asked, as in the data, or a usual one."""
    sizes: dict[str, int] = {}
    for tensor in spec.inputs:
        for axis, dim in enumerate(tensor.shape):
            if not isinstance(dim, str) or dim == BATCH or dim in sizes:
                continue
            seen = usual_size(tensor, axis)
            if data is not None:
                offset = 0 if leads_with_samples(tensor, spec) else 1
                seen = int(data.inputs[tensor.name].shape[axis + offset])
            sizes[dim] = settings.sizes.get(dim, seen)
    if unknown := settings.sizes.keys() - sizes.keys() - {BATCH}:
        free = ", ".join(sizes) or "none"
        raise BadInput(
            f"Cannot set the size of '{min(unknown)}': the model's free dimensions are: {free}."
        )
    return sizes


def usual_size(tensor: TensorSpec, axis: int) -> int:
    """A usual size for a free dimension nobody bound: 224 pixels, 128 tokens, 64 steps."""
    rank = len(tensor.shape)
    if rank == 4 and axis > 0:
        return 224
    if rank == 2 and axis == 1 and tensor.dtype.startswith("int"):
        return 128
    return 64 if rank >= 2 else 1


def lay(
    store: Store, original: Original, settings: Settings, bounds: Mapping[str, int]
) -> tuple[str, splits.Splits]:
    """Split the samples (or make some up) and keep the parts in the store; returns the key."""
    if original.data is not None:
        parts = splits.split(original.data, seed=settings.seed)
    else:
        made = made_up(original, settings, bounds)
        parts = splits.Splits(made, made, made, 0, tuple(made.notes))
    named = {"calibration": parts.calibration, "selection": parts.selection, "test": parts.test}
    declared = canonical(original.spec.to_json())
    key = digest("data", declared, *(part_hash(part) for part in named.values()))
    if store.get(key) is None:
        with store.put(key, {}) as folder:
            for name, part in named.items():
                write_part(folder, name, part)
            (folder / SPEC_FILE).write_text(json.dumps(original.spec.to_json()))
    return key, parts


def made_up(original: Original, settings: Settings, bounds: Mapping[str, int]) -> Data:
    """Random inputs that fit the model, for searches without data."""
    count = max(SYNTHETIC_SAMPLES, 2 * settings.batch)
    return check.synthetic(original.spec, count, settings.seed, bounds, original.sizes)


def part_hash(part: Data) -> str:
    """One hash over a part's arrays, names and labels; reads mapped arrays a block at a time."""
    arrays = [*part.inputs.items()]
    if part.labels is not None:
        arrays.append(("labels", part.labels))
    sha = hashlib.sha256()
    for name, array in arrays:
        sha.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        for start in range(0, len(array), HASHED_SAMPLES):
            sha.update(np.ascontiguousarray(array[start : start + HASHED_SAMPLES]).tobytes())
    return sha.hexdigest()
