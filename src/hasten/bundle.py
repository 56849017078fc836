"""The bundle: one folder that holds a model as data, how to run it, and the evidence for it.

``manifest.json`` lists every file with its SHA-256 and size. A bundle is loaded only after all
hashes agree and no unlisted file is there; nothing in it is code. It is written aside and renamed,
so a reader never sees half of one.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hasten import plugin
from hasten.errors import BadData, BadInput, NotInstalled, Untrusted
from hasten.manifest import MANIFEST, SCHEMA, opened, read_manifest, readable, sealed
from hasten.plugin import Runner, Source
from hasten.search.build import batch_of, compile_plan, load_model, read_source
from hasten.search.samples import UINT8_INPUT
from hasten.search.settings import positive
from hasten.search.store import RECORD, file_hash, folder_files, version, write_aside
from hasten.types import BATCH, Arrays, Model, Plan, Spec, TensorSpec, Workload

MODEL_FOLDER = "model"


# --- writing --------------------------------------------------------------------------------------


@contextmanager
def packing(
    place: Path,
    *,
    model_folder: Path | None,
    note: Mapping[str, Any],
    plan: Plan,
    workload: Workload,
    evidence: Mapping[str, Any],
    pages: Mapping[str, bytes],
    source: Source | None = None,
) -> Iterator[Draft]:
    """A draft beside ``place`` that takes its place, whole, if the block succeeds.

    ``model_folder`` holds the model in its form; where no form can hold it, ``source`` says how
    to rebuild it, and loading will ask for trust. ``pages`` are further files by name. The draft
    is a valid bundle already, so that it can be loaded and checked before it is final.
    """
    with write_aside(place) as folder:
        if model_folder is not None:
            for name in folder_files(model_folder):
                if name.name != RECORD:
                    target = folder / MODEL_FOLDER / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(model_folder / name, target)
        manifest = {
            "schema": SCHEMA,
            "hasten": version(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": dict(note),
            "source": source.to_json() if source else None,
            "plan": plan.to_json(),
            "workload": workload.to_json(),
            "requires": plugin.engines.get(plan.engine.name).versions(),
        }
        draft = Draft(folder, manifest)
        draft.write(evidence, pages)
        yield draft


@dataclass(frozen=True)
class Draft:
    """A bundle that is not yet in its place."""

    folder: Path
    manifest: Mapping[str, Any]

    def write(self, evidence: Mapping[str, Any], pages: Mapping[str, bytes]) -> None:
        """Put evidence and pages in, and list every file with its hash and size."""
        for page, content in pages.items():
            (self.folder / page).write_bytes(content)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        files = {
            name.as_posix(): {
                "sha256": file_hash(self.folder / name),
                "bytes": (self.folder / name).stat().st_size,
            }
            for name in folder_files(self.folder)
        }
        told = {**self.manifest, "evidence": dict(evidence), "files": files}
        (self.folder / MANIFEST).write_text(sealed(told))


# --- reading --------------------------------------------------------------------------------------


class Bundle:
    """A model ready to be called, with the plan, the workload and the evidence it came with.

    Arrays by position give an array (a tuple where the model has several outputs); a dict by name
    gives a dict in the model's output order. Any number of samples is taken where the batch is
    free; they are computed in calls of the batch that was measured. An input with a normalisation
    takes the data as they were stored (integers), or float32 that is normalised already; a model
    that normalises inside takes only the former. ``folder`` is ``None`` for a live model that no
    form could hold.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        workload: Workload,
        manifest: Mapping[str, Any],
        folder: Path | None = None,
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self.plan = plan
        self.workload = workload
        self.evidence: Mapping[str, Any] = manifest["evidence"]
        self.spec: Spec = model.spec
        self.traits = model.traits
        self.runner: Runner = compile_plan(model, plan, workload)
        self._size = batch_of(self.spec, workload)

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        by_name = len(arrays) == 1 and isinstance(arrays[0], Mapping)
        given = dict(arrays[0]) if by_name else self._by_position(arrays)
        answer = self.run({**given, **named})
        if by_name or named:
            return answer
        values = tuple(answer.values())
        return values[0] if len(values) == 1 else values

    def _by_position(self, arrays: tuple[Any, ...]) -> Arrays:
        names = [tensor.name for tensor in self.spec.inputs]
        if len(arrays) > len(names):
            raise BadData(
                f"Cannot call the model with {len(arrays)} arrays: it takes {len(names)} "
                f"({', '.join(names)})."
            )
        return dict(zip(names, arrays, strict=False))

    def run(self, given: Mapping[str, Any]) -> Arrays:
        """Outputs by name for inputs by name, for any number of samples."""
        arrays = {tensor.name: self._checked(tensor, given) for tensor in self.spec.inputs}
        if unknown := given.keys() - arrays.keys():
            raise BadData(
                f"Cannot call the model with '{min(unknown)}': its inputs are {', '.join(arrays)}."
            )
        counts = {len(arrays[t.name]) for t in self.spec.inputs if t.batched}
        if not counts:
            return self._once(arrays)
        if len(counts) > 1:
            raise BadData(f"Cannot call the model: its inputs have {sorted(counts)} samples.")
        return self._chunked(arrays, counts.pop())

    def _once(self, arrays: Arrays) -> Arrays:
        answer = self.runner.run(self.runner.bind(arrays))
        return {tensor.name: np.array(answer[tensor.name]) for tensor in self.spec.outputs}

    def _chunked(self, arrays: Arrays, count: int) -> Arrays:
        size = self._size
        if count == size:
            return self._once(arrays)
        if count == 0:
            raise BadData("Cannot call the model with 0 samples. Give at least one.")
        pieces: dict[str, list[np.ndarray]] = {tensor.name: [] for tensor in self.spec.outputs}
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)
            window = {
                t.name: np.ascontiguousarray(arrays[t.name][rows]) if t.batched else arrays[t.name]
                for t in self.spec.inputs
            }
            for name, array in self._once(window).items():
                if array.ndim == 0 or len(array) != size:
                    raise BadData(
                        f"Cannot call the model with {count} samples: its output '{name}' does not "
                        f"lead with the batch. Load the bundle with batch={count}."
                    )
                pieces[name].append(array[: min(size, count - start)])
        return {name: np.concatenate(kept) for name, kept in pieces.items()}

    def _checked(self, tensor: TensorSpec, given: Mapping[str, Any]) -> np.ndarray:
        """One input as the runner takes it: right name, rank, fixed dimensions, and dtype."""
        if tensor.name not in given:
            raise BadData(f"Cannot call the model: input '{tensor.name}' is missing ({tensor}).")
        array = np.asarray(given[tensor.name])
        sizes: dict[int | str, int | str] = {**dict(self.workload.sizes), BATCH: BATCH}
        wanted_shape = tuple(sizes.get(dim, dim) for dim in tensor.shape)
        pairs = zip(array.shape, wanted_shape, strict=False)
        if array.ndim != len(wanted_shape) or any(b not in (a, BATCH) for a, b in pairs):
            free = " Other sizes need a search of their own: --size." if self.workload.sizes else ""
            raise BadData(
                f"Cannot call the model: '{tensor.name}' has shape {array.shape}, "
                f"it must be {replace(tensor, shape=wanted_shape)}.{free}"
            )
        wanted = np.dtype(tensor.dtype)
        if tensor.name in self.spec.normalisation and UINT8_INPUT not in self.traits:
            stored = array.dtype.kind in "iu"
            wanted = array.dtype if stored else wanted
        if not np.can_cast(array.dtype, wanted, "same_kind"):
            raise BadData(
                f"Cannot call the model: '{tensor.name}' is {array.dtype}, it must be {wanted}."
            )
        return np.asarray(array, dtype=wanted, order="C")

    def close(self) -> None:
        """Free the runtime's memory."""
        self.runner.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _require_engine(plan: Plan, manifest: Mapping[str, Any]) -> None:
    verdict = plugin.engines.get(plan.engine.name).installed()
    if not verdict:
        wanted = ", ".join(f"{n}=={v}" for n, v in manifest["requires"].items())
        raise NotInstalled(
            f"Cannot run this bundle: {verdict.why}. Install it: {verdict.fix} "
            f"(it was measured with {wanted})."
        )


def load(path: str | Path, *, trust: bool = False, batch: int | None = None) -> Bundle:
    """Load a bundle (a folder, or the ``.zip`` of one) and make it ready to be called.

    ``batch`` compiles it for another batch size than the measured one. ``trust`` is needed only
    for bundles that say they hold code.
    """
    if batch is not None:
        positive("batch", batch)
    with ExitStack() as stack:
        folder = stack.enter_context(opened(path))
        manifest = read_manifest(folder)
        with readable(folder):
            plan = Plan.from_json(manifest["plan"])
            workload = Workload.from_json(manifest["workload"])
            _require_engine(plan, manifest)
            model = _model(manifest, folder, trust)
        if batch is not None:
            workload = replace(workload, batch=_possible(batch, model.spec, workload))
        bundle = Bundle(model, plan, workload, manifest, folder)
        weakref.finalize(bundle, stack.pop_all().close)
    return bundle


def _possible(batch: int, spec: Spec, workload: Workload) -> int:
    """``batch`` itself, unless the model has another one built in."""
    if not any(tensor.batched for tensor in spec.inputs) and batch != batch_of(spec, workload):
        raise BadInput(
            f"Cannot load this bundle for batch {batch}: the model is fixed to "
            f"{batch_of(spec, workload)}. Leave the batch out."
        )
    return batch


def _model(manifest: Mapping[str, Any], folder: Path, trust: bool) -> Model:
    """The model that a bundle holds as data, or that its source builds."""
    raw = manifest.get("source")
    if raw is None:
        return load_model(folder / MODEL_FOLDER, manifest["model"])
    if not trust:
        raise Untrusted(
            f"Cannot load bundle '{folder}': it runs the code of '{raw['what']}', because no form "
            "could hold this model as data. Load it with trust=True if you trust it."
        )
    model = read_source(replace(Source.from_json(raw), trust=True))
    return replace(model, spec=Spec.from_json(manifest["model"]["spec"]))
