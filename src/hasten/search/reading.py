"""Reading a part of the samples through a runner: statistics kept, outputs compared.

Only the reference's outputs are kept whole; of a candidate, the metric's statistics per sample.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hasten import metrics
from hasten.errors import BadData, HastenError
from hasten.plugin import Runner
from hasten.search import build, samples
from hasten.search.build import Ground
from hasten.search.store import Store, save_array
from hasten.types import Arrays, Spec, digest

OUTPUT_BYTES = 2**29
"""What the outputs over one part may take in memory."""
LEAST_SAMPLES = 32


def read_part(
    request: Mapping[str, Any], ground: Ground, runner: Runner, spec: Spec, part_name: str
) -> dict[str, Any]:
    """The metric's statistics over a part, kept; and how far the outputs are from the
    reference's. The reference itself (no ``reference`` in the request) keeps its outputs."""
    part = ground.part(part_name).head(request["samples"])
    outputs = samples.outputs_over(runner, part, spec, build.batch_of(spec, ground.workload))
    reading = f"{part_name} {request['samples']}"
    reference = read_outputs(ground.store, request.get("reference"), reading)
    metric = metrics.Limit.from_json(request["metric"]).metric
    rows = metric.statistics(outputs, reference or outputs, part.labels)
    key = digest("outputs", request["outputs"], reading)
    with ground.store.put(key, {"names": list(outputs)}) as folder:
        save_array(folder / "statistics.npy", rows)
        if (accuracy := _accuracy(outputs, reference, part.labels)) is not None:
            save_array(folder / "accuracy.npy", accuracy)
        if reference is None:
            for index, array in enumerate(outputs.values()):
                save_array(folder / f"output{index}.npy", array)
    unusable = int(np.isnan(rows).any(axis=1).sum())
    answer: dict[str, Any] = {"kept": key, "n": len(part), "unusable": unusable}
    if reference is not None:
        worst, changed = metrics.equivalent(reference, outputs)
        answer |= {"difference": _finite(worst), "decisions_changed": changed}
    return answer


def _accuracy(
    outputs: Arrays, reference: Arrays | None, labels: np.ndarray | None
) -> np.ndarray | None:
    """Accuracy's statistics for the table per class, where labels and outputs are classes."""
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        return None
    with contextlib.suppress(BadData):
        return metrics.named("accuracy").statistics(outputs, reference, labels)
    return None


def sample_counts(
    read_seconds: dict[str, float], seconds_per_sample: float, outputs: Arrays
) -> dict[str, int]:
    """How many samples of each part are read: a power of two that fits the time.

    Fixed before any candidate is known, and rounded so that a repeated search reads as many.
    """
    size = sum(np.asarray(array).nbytes for array in outputs.values())
    room = max(64, OUTPUT_BYTES // max(1, size))
    counts = {}
    for part, seconds in read_seconds.items():
        fits = seconds / max(seconds_per_sample, 1e-5)
        counts[part] = min(max(LEAST_SAMPLES, 2 ** int(np.log2(max(fits, 1.0)))), room)
    return counts


def read_outputs(store: Store, stem: str | None, reading: str) -> Arrays | None:
    """Outputs that the reference kept under ``stem``, mapped from disk.

    ``reading`` names the part and how many of its samples were read.
    """
    if stem is None:
        return None
    key = digest("outputs", stem, reading)
    folder, note = store.get(key), store.note(key)
    if folder is None or note is None:
        raise HastenError("The store lost the reference's outputs while they were needed.")
    return {
        name: np.load(folder / f"output{index}.npy", mmap_mode="r", allow_pickle=False)
        for index, name in enumerate(note["names"])
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
