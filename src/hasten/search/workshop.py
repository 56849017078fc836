"""Where candidates are made: asks children to build, try and time plans, and remembers the answers.

Every answer that does not depend on the clock is kept in the store, so that a search that was
killed goes on where it was, and a second search on the same model starts warm.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hasten import plugin
from hasten.errors import BadModel, CandidateFailed, HastenError, OutOfSpace
from hasten.plugin import Facts, Source
from hasten.search.build import Ground
from hasten.search.child import Child, Here, Workplace, memory_limit
from hasten.search.store import Store, cache_folder, code
from hasten.types import Kernel, Model, Plan, Trial, Workload, canonical, digest

BUILD_SECONDS = 600.0
"""The longest one build may take before it counts as hung."""


class Workshop:
    """Makes trials out of plans, each in a child process of its own.

    ``ingest`` and ``ground`` come first; then ``build``, ``evaluate``, ``layers`` and
    ``contender`` work on plans of that model and those samples.
    """

    def __init__(
        self,
        store: Store,
        target: Facts,
        *,
        memory_bytes: int | None = None,
        build_seconds: float = BUILD_SECONDS,
    ) -> None:
        self.store = store
        self.target = target
        self.memory_bytes = memory_bytes or memory_limit()
        self.build_seconds = build_seconds
        self.here: Here | None = None
        machine = canonical([target.get("name"), target.get("isa")])
        self.base: dict[str, Any] = {"store": str(store.folder), "machine": machine}
        self.logs = Path(tempfile.mkdtemp(prefix="hasten-log-"))
        self._count = 0

    # --- the ground ---

    def ingest(self, source: Source, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Load the user's model (in a child, unless it is a live object) and describe it."""
        live = not isinstance(source.what, str)
        request = {"do": "ingest", "sizes": dict(sizes), "store": str(self.store.folder)}
        try:
            if live:
                self.here = Here()
                answer = self.here.call({**request, "source": source}, self.build_seconds)
            else:
                with self._child() as child:
                    answer = child.call({**request, "source": source.to_json()}, self.build_seconds)
        except CandidateFailed as error:
            name = type(source.what).__name__ if live else source.what
            raise BadModel(f"Cannot read model '{name}': {error}") from error
        self.base["model"] = answer["model"]
        self.base["source"] = None
        if answer["held"] == "source" and not live:
            self.base["source"] = source.to_json()
        if answer["held"] == "store":
            self.here = None
        return answer

    @property
    def isolated(self) -> bool:
        """Whether candidates run in processes of their own."""
        return self.here is None

    def live_model(self, plan: Plan) -> Model:
        """The model of a plan in this process, where no child can have it."""
        if self.here is None:
            raise HastenError("This model is not live.")
        return self.here.worker.model(Ground.from_request(self._request("build", plan)), plan)

    def stand_on(self, data_key: str, workload: Workload, metric: Mapping[str, Any]) -> None:
        """Fix the samples, the workload and the metric of all following requests."""
        self.base |= {"data": data_key, "workload": workload.to_json(), "metric": dict(metric)}

    def key(self, plan: Plan, *more: object) -> str:
        """The store's key of what was learned about a plan: changes with anything that could."""
        return digest(
            "trial",
            canonical(self.base | {"store": ""}),
            canonical(plan.to_json()),
            canonical(versions(plan)),
            *map(str, more),
        )

    # --- trials ---

    def build_reference(self, plan: Plan, read_seconds: Mapping[str, float]) -> Trial:
        """Build the first trial; its ``facts["counts"]`` fix how many samples are read."""
        return self._build(plan, {"read_seconds": dict(read_seconds)}, None)

    def build(self, plan: Plan, counts: Mapping[str, int], reference: str) -> Trial:
        """Build and try a plan. Never raises for a candidate's own failure: the trial says it."""
        return self._build(plan, {"counts": dict(counts)}, reference)

    def _build(self, plan: Plan, reading: Mapping[str, Any], reference: str | None) -> Trial:
        trial = Trial(plan, key=self.key(plan, canonical(reading)))
        began = time.monotonic()
        answer = self.store.note(trial.key)
        trial.cached = answer is not None
        try:
            if answer is None:
                answer = self._ask(
                    {
                        "do": "build",
                        "plan": plan.to_json(),
                        "outputs": self.outputs_stem(plan),
                        "reference": reference,
                        **reading,
                    }
                )
                self.store.put_note(trial.key, answer)
        except OutOfSpace:
            raise  # it would fail every candidate alike
        except (HastenError, OSError) as error:
            trial.status, trial.error = "failed", str(error)
            trial.spent = time.monotonic() - began
            return trial
        trial.spent = time.monotonic() - began
        _learn(trial, answer)
        # What building read of the selection samples counts as an evaluation.
        key = self.key(plan, "selection", answer["counts"]["selection"])
        if self.store.note(key) is None:
            self.store.put_note(key, {"kept": answer["kept"], "n": answer["n"]})
        return trial

    def evaluate(
        self, plan: Plan, part: str, samples: int, reference: str | None
    ) -> dict[str, Any]:
        """Judge material of a built plan over one part; kept in the store."""
        key = self.key(plan, part, samples)
        known = self.store.note(key)
        if known is not None and self.store.get(known["kept"]):
            return known
        answer = self._ask(
            {
                "do": "evaluate",
                "plan": plan.to_json(),
                "part": part,
                "samples": samples,
                "outputs": self.outputs_stem(plan),
                "reference": reference,
            }
        )
        self.store.put_note(key, answer)
        return answer

    def layers(self, plan: Plan) -> dict[str, float]:
        """SQNR in dB of every layer, in the model's order; ``{}`` where it cannot be told."""
        key = self.key(plan, "layers")
        known = self.store.note(key)
        if known is None:
            with contextlib.suppress(HastenError):
                known = self._ask({"do": "layers", "plan": plan.to_json()})
                self.store.put_note(key, known)
        return {name: float(decibel) for name, decibel in known["layers"]} if known else {}

    def outputs_stem(self, plan: Plan) -> str:
        """The stem of the store's keys under which a plan's outputs and statistics are kept."""
        return self.key(plan, "outputs")

    def contender(self, plan: Plan, name: str, objective: str) -> Contender:
        """A plan opened for measuring, in a stopped process of its own."""
        workplace: Workplace = self.here or self._start()
        try:
            answer = workplace.call(self._request("open", plan), self.build_seconds)
        except BaseException:
            workplace.close()
            raise
        workplace.pause()
        return Contender(workplace, name, objective, answer)

    def statistics(self, answer: Mapping[str, Any]) -> np.ndarray:
        """The metric's statistics per sample, ``(n, k)``, that an evaluation kept."""
        rows: np.ndarray = np.load(self._kept(answer) / "statistics.npy", allow_pickle=False)
        return rows

    def accuracy(self, answer: Mapping[str, Any]) -> np.ndarray | None:
        """Accuracy's statistics per sample, ``(n, 2)``, where the labels are class numbers."""
        path = self._kept(answer) / "accuracy.npy"
        return np.load(path, allow_pickle=False) if path.exists() else None

    def _kept(self, answer: Mapping[str, Any]) -> Path:
        folder = self.store.get(answer["kept"])
        if folder is None:
            raise HastenError("The store lost an evaluation while it was needed. Run again.")
        return folder

    def check_kernels(self, bundle: Path) -> list[Kernel]:
        """The kernels of a packed bundle, loaded in a fresh process. Never timed."""
        with self._child() as child:
            child.call({"do": "load", "bundle": str(bundle), "trust": True}, self.build_seconds)
            answer = child.call({"do": "profile"}, self.build_seconds)
        return [Kernel.from_json(kernel) for kernel in answer["kernels"]]

    def answers(self, plan: Plan) -> bytes:
        """A few stored inputs and the plan's outputs for them, as a bundle's ``samples.npz``."""
        place = self.logs / "samples.npz"
        self._ask({"do": "answers", "plan": plan.to_json(), "place": str(place)})
        return place.read_bytes()

    def model(self, plan: Plan) -> tuple[Path | None, dict[str, Any]]:
        """The folder that holds a built plan's model as data, with its note."""
        answer = self._ask({"do": "where", "plan": plan.to_json()})
        note: dict[str, Any] = answer["note"]
        return self.store.get(answer["key"]), note

    def convert(self, form: str, place: Path) -> dict[str, Any]:
        """Write the ingested model to ``place`` as a file of another form."""
        return self._ask({"do": "convert", "form": form, "place": str(place)})

    def close(self) -> None:
        """Remove the children's logs."""
        if self.here is not None:
            self.here.close()
        shutil.rmtree(self.logs, ignore_errors=True)

    # --- how ---

    def _request(self, do: str, plan: Plan) -> dict[str, Any]:
        return {**self.base, "do": do, "plan": plan.to_json()}

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        full = {**self.base, **request}
        if self.here is not None:
            return self.here.call(full, self.build_seconds)
        with self._child() as child:
            return child.call(full, self.build_seconds)

    @contextlib.contextmanager
    def _child(self) -> Iterator[Child]:
        """A child for one task. Where it had to be killed, nothing half-written stays behind."""
        child = self._start()
        try:
            yield child
        finally:
            child.close()
            self.store.sweep(child.process.pid)

    def _start(self) -> Child:
        """A fresh child with a log and a temporary folder of its own, removed with the workshop."""
        self._count += 1
        scratch = self.logs / f"child-{self._count}"
        scratch.mkdir()
        environment = {"TMPDIR": str(scratch), "TORCHINDUCTOR_CACHE_DIR": str(compiled_folder())}
        return Child(self.logs / f"child-{self._count}.log", self.memory_bytes, environment)


def _learn(trial: Trial, answer: Mapping[str, Any]) -> None:
    """Move a build's answer into its trial."""
    raw = trial.to_json() | {
        "status": "built",
        "history": answer["history"],
        "kernels": answer["kernels"],
        "facts": {
            **answer["facts"],
            "counts": answer["counts"],
            "samples": answer["n"],
            "unusable": answer["unusable"],
            "decisions_changed": answer.get("decisions_changed"),
        },
        "seconds_per_call": answer["seconds_per_call"],
        "difference": answer.get("difference"),
        "size_bytes": answer["size_bytes"],
    }
    filled = Trial.from_json(raw)
    trial.__dict__.update(filled.__dict__)


def compiled_folder() -> Path:
    """Where PyTorch keeps what it compiled on this machine: private to the user, never shipped."""
    folder = cache_folder() / "compiled"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def versions(plan: Plan) -> dict[str, str]:
    """The code of everything a plan uses, as far as versions tell it."""
    found = {"hasten": code()}
    families: Mapping[str, Any] = plugin.FAMILIES
    for family, use in plan.steps:
        found |= families[family].get(use.name).versions()
    return found | plugin.engines.get(plan.engine.name).versions()


TURN_LIMIT_SECONDS = 60.0


class Contender:
    """A candidate in the race: its process runs only during its own turns."""

    def __init__(
        self, workplace: Workplace, name: str, objective: str, opened: Mapping[str, Any]
    ) -> None:
        self.workplace = workplace
        self.name = name
        self.objective = objective
        self.cold_start_seconds = float(opened["cold_start_seconds"])
        self.memory_bytes = int(opened["memory_bytes"])
        self.pid = workplace.process.pid if isinstance(workplace, Child) else None

    def turn(self, seconds: float) -> list[float]:
        """Seconds of each call of one turn: resumed, warmed up, timed, stopped again."""
        self.workplace.resume()
        try:
            request = {"do": "turn", "seconds": seconds, "objective": self.objective}
            answer = self.workplace.call(request, TURN_LIMIT_SECONDS)
        finally:
            self.workplace.pause()
        timed = [float(value) for value in answer["seconds"]]
        if not timed:
            raise CandidateFailed("it answered no timings.")
        return timed

    def close(self) -> None:
        self.workplace.close()
