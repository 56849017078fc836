"""THE ROAD: read -> reference -> candidates -> race -> judge -> pack.  Read this first.

``optimize`` searches compression x compiler x settings on this machine under an accuracy limit,
proves the winner with statistics, and never returns something worse than what came in. The parent
process stays small: everything heavy happens in child processes, and what they learn is kept in
a store, so that an interrupted search goes on where it was.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hasten import metrics, plugin, report
from hasten.bundle import Bundle, packing
from hasten.errors import NotInstalled, Unsupported
from hasten.evidence import Evidence
from hasten.manifest import check_place, zipped
from hasten.plugin import Source
from hasten.progress import Progress
from hasten.result import DryRun, Result
from hasten.search import ground, space
from hasten.search.build import find_frontend
from hasten.search.candidates import Candidates
from hasten.search.proof import ALPHA, Proof, Prover
from hasten.search.record import record
from hasten.search.settings import Settings, model_source, seconds
from hasten.search.store import Store
from hasten.search.workshop import Workshop
from hasten.types import TensorSpec
from hasten.verify import SAMPLES

T = TypeVar("T")
SOURCE = ("weights", "trust", "reference", "python")
"""Arguments that say how the model is read."""
PACK_SHARE = 0.1
"""The share of the budget kept for packing, checking and describing the result."""


def optimize(
    model: Any,
    data: Any = None,
    *,
    out: str | Path | None = None,
    metric: str | None = None,
    max_drop: float | None = None,
    floor: float | None = None,
    objective: str = "latency",
    batch: int = 1,
    threads: int | None = None,
    target: str = "cpu",
    budget: str | float = "5m",
    weights: str | Path | None = None,
    trust: bool = False,
    reference: str | Path | None = None,
    python: str | None = None,
    sizes: Mapping[str, int] | None = None,
    shapes: Sequence[TensorSpec] = (),
    engines: Sequence[str] = (),
    accept: Sequence[str] = (),
    memory_bytes: int | None = None,
    seed: int = 0,
    zip: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Result:
    """Make ``model`` faster on this machine within an accuracy limit, and prove it.

    ``model`` is a path, ``"package.module:factory"``, an ``nn.Module`` or an ``onnx.ModelProto``;
    ``data`` a name, ``"images:FOLDER"``, an ``.npz`` path, ``"package.module:factory"``, a torch
    ``Dataset``, ``(inputs, labels)`` or a dict of arrays ``(samples, ...)``. The folder of
    a training run brings its own. Without data, only candidates whose outputs stay equal within
    1e-4 of their range are tried.

    The limit is ``max_drop`` (a share of the metric that may be lost) or ``floor`` (the least
    value of ``agreement`` or, in dB, ``sqnr``). ``budget`` is the time of the whole search in
    seconds or as ``"5m"``. The answer may be called like the model; ``out`` keeps it as a bundle.
    Nothing that wins: the original comes back, and ``result.evidence`` says why.
    """
    settings = Settings(
        metric=metric,
        max_drop=max_drop,
        floor=floor,
        objective=objective,
        batch=batch,
        threads=threads,
        target=target,
        budget_seconds=seconds(budget),
        sizes=dict(sizes or {}),
        shapes=tuple(shapes),
        accept=tuple(accept),
        engines=tuple(engines),
        out=Path(out) if out is not None else None,
        memory_bytes=memory_bytes,
        seed=seed,
    )
    source = model_source(model, weights, trust, (), reference, python)
    with Search(settings, source, data, progress or Progress()) as search:
        return search.run(command or f"hasten.optimize({search.name!r}, ...)", zip)


def plans(model: Any, data: Any = None, **options: Any) -> DryRun:
    """What ``optimize`` would try with the same arguments, without building anything."""
    given = dict(options)
    told = {name: given.pop(name) for name in SOURCE if name in given}
    source = model_source(model, **told)
    given["budget_seconds"] = seconds(given.pop("budget", "5m"))
    with Search(Settings(**given), source, data, Progress()) as search:
        situation = search.read().situation
        found = space.plans(situation)
        return DryRun([(p, space.estimate(p)) for p in found], space.pruned(situation))


class Search:
    """One run of the road. The methods stand in the order in which they are called."""

    def __init__(
        self, settings: Settings, source: Source, what_data: Any, progress: Progress
    ) -> None:
        self.settings = settings
        self.source = source
        self.what_data = what_data
        self.progress = progress
        self.name = model_name(source.what)
        self.began = time.monotonic()
        if settings.out is not None:
            check_place(settings.out)
        self.target = plugin.targets.get(settings.target).probe()
        if not self.target.get("present"):
            raise Unsupported(
                f"Cannot optimise for target '{settings.target}': "
                f"{self.target.get('reason', 'it is not there')}. See: hasten doctor."
            )
        self.store = Store()
        self.workshop = Workshop(self.store, self.target, memory_bytes=settings.memory_bytes)
        self.evidence = Evidence()
        self.interrupted = False

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *exception: object) -> None:
        self.workshop.close()

    def seconds_left(self) -> float:
        """What is left of the budget for everything before packing."""
        spent = time.monotonic() - self.began
        return (1.0 - PACK_SHARE) * self.settings.budget_seconds - spent

    def run(self, command: str, zip_too: bool) -> Result:
        """The whole road. Ctrl-C ends the search early and packs the best so far; again: stop."""
        self.progress.deadline(self.settings.budget_seconds)
        candidates = self.read()
        with self.evidence.lasting("build"):
            self.progress.stage("the reference: your model as it runs now")
            candidates.build_reference()
            self._until_interrupted(candidates.build_all)
        prover = Prover(
            candidates, self.workshop, self.evidence, self.progress, lambda: self.interrupted
        )
        proof = prover.prove(self._until_interrupted)

        def packed() -> Result:
            return self.pack(candidates, proof, command, zip_too)

        return self._until_interrupted(packed) or packed()

    def _until_interrupted(self, work: Callable[[], T]) -> T | None:
        """Do ``work``; the first Ctrl-C ends it and is remembered, the second one is not caught."""
        try:
            return work()
        except KeyboardInterrupt:
            if self.interrupted:
                raise
            self.interrupted = True
            self.progress.note("Interrupted: packing the best so far. Ctrl-C again stops at once.")
            return None

    def read(self) -> Candidates:
        """Load model and data; fix the samples, the workload and the limit."""
        settings, workshop = self.settings, self.workshop
        with self.evidence.lasting("import"):
            self.progress.stage("reading the model and the data")
            if self.what_data is None:
                self.what_data = find_frontend(self.source.what).samples(self.source.what)
            original = ground.read(workshop, settings, self.source, self.what_data, self.name)
            if not workshop.isolated and settings.out is not None:
                raise Unsupported(
                    f"Cannot keep this model as a bundle: {original.note['why_live']} Give it as "
                    "package.module:factory, or leave out= away and use the result here."
                )
            workload = settings.workload(original.sizes)
            key, self.parts = ground.lay(self.store, original, settings, original.note["bounds"])
            limit = metrics.choose(
                original.spec,
                self.parts.test.labels,
                metric=settings.metric,
                max_drop=settings.max_drop,
                floor=settings.floor,
            )
            workshop.stand_on(key, workload, limit.to_json())
        for text in (*self.parts.notes, limit.why):
            self.progress.note(text)
        return Candidates(
            workshop,
            original,
            settings,
            workload,
            limit,
            self.target,
            self.progress,
            self.evidence,
            self.seconds_left,
        )

    def pack(self, candidates: Candidates, proof: Proof, command: str, zip_too: bool) -> Result:
        """Write the bundle, reload it in a fresh process and profile it, then complete it."""
        self.progress.stage("packing and checking the bundle")
        winner, original = proof.winner, candidates.original
        if not self.workshop.isolated:
            return self._live_result(candidates, proof, command)
        place = self.settings.out or temporary_place()
        if winner is not candidates.reference:
            winner.layers = self.workshop.layers(winner.plan)
            tested = any(score.split == "test" for score in winner.scores)
            if original.data is not None and not tested:
                winner.scores.append(candidates.score(winner, "test", ALPHA))
        folder, note = self.workshop.model(winner.plan)
        with packing(
            place,
            model_folder=folder,
            note=note,
            plan=winner.plan,
            workload=candidates.workload,
            evidence=self._told(candidates, proof, command),
            pages={SAMPLES: self.workshop.answers(winner.plan)},
            source=None if folder else self.source,
        ) as draft:
            if folder:
                winner.kernels = self.workshop.check_kernels(draft.folder)
            evidence = self._told(candidates, proof, command)
            draft.write(evidence, pages(evidence))
        if zip_too:
            zipped(place)
        self.store.trim()
        return Result(place, evidence, temporary=self.settings.out is None)

    def _told(self, candidates: Candidates, proof: Proof, command: str) -> dict[str, Any]:
        """The evidence as it is now."""
        return record(
            candidates, proof, self.evidence, self.parts, self.store, command, self.interrupted
        )

    def _live_result(self, candidates: Candidates, proof: Proof, command: str) -> Result:
        """A result that lives only in this process."""
        evidence = self._told(candidates, proof, command)
        plan, manifest = proof.winner.plan, {"evidence": evidence}
        model = self.workshop.live_model(plan)
        bundle = Bundle(model, plan, candidates.workload, manifest)
        return Result(None, evidence, temporary=True, bundle=bundle)


def temporary_place() -> Path:
    """Where a bundle is put that nobody asked to keep: it is gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="hasten-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "result.hasten"


def pages(evidence: Mapping[str, Any]) -> dict[str, bytes]:
    """The report's files; without the extra ``report`` only the pictures."""
    found = {
        "tradeoff.svg": report.figure_svg(evidence).encode(),
        "tradeoff.png": report.figure_png(evidence),
    }
    with contextlib.suppress(NotInstalled):
        found["report.html"] = report.html(evidence).encode()
    return found


def model_name(what: Any) -> str:
    """A short name for a model."""
    if not isinstance(what, str):
        return type(what).__name__
    return what.rpartition(":")[2] if ":" in what and not Path(what).exists() else Path(what).stem
