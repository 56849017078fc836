"""The child's side: carries out the search's requests, one JSON line each.

Requests name their method in ``do``; answers carry ``ok``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hasten import plugin
from hasten.errors import HastenError, OutOfSpace, Unsupported
from hasten.plugin import Runner, Source
from hasten.search import build, conversion, reading, samples
from hasten.search.answering import answering
from hasten.search.build import Ground
from hasten.search.pace import LEAST_CALLS, SLOW_CALL_SECONDS, WARM_UP_CALLS
from hasten.search.store import Store
from hasten.types import Model, Plan, Spec, digest


class Worker:
    """Holds what outlives one request: a model that cannot be stored, and an open runner."""

    def __init__(self) -> None:
        self.live: Model | None = None
        self.runner: Runner | None = None
        self.feed: Any = None

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        method: Callable[[dict[str, Any]], dict[str, Any]] = getattr(self, "do_" + request["do"])
        return method(request)

    def close(self) -> None:
        if self.runner is not None:
            self.runner.close()
            self.runner = None

    # --- requests ---

    def do_ingest(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the user's model, keep it as data if a form can hold it, and describe it."""
        store = Store(Path(request["store"]))
        source = request["source"]
        source = source if isinstance(source, Source) else Source.from_json(source)
        model = build.read_source(source)
        bounds = plugin.forms.get(model.form).bounds(model.handle)
        if request.get("sizes"):
            model = replace(model, spec=_sized(model.spec, request["sizes"]))
        try:
            key, note = _keep(store, model)
            held = "store"
        except OutOfSpace:
            raise
        except HastenError as error:
            self.live = model
            # Nothing tells whether its code or weights are what they were: never reused.
            key = digest("live", str(os.getpid()), str(time.time_ns()))
            held, note = "source", _described(model, error)
        return {"ok": True, "model": key, "held": held, "bounds": bounds, **note}

    def do_convert(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write the ingested model as a file of another form."""
        if self.live is not None:
            raise Unsupported("Cannot convert a model that stays in its process.")
        model = build.read_model(Store(Path(request["store"])), request["model"])
        return {"ok": True, **conversion.write(model, request["form"], Path(request["place"]))}

    def do_build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a plan's model and try it: outputs, speed to rank by, kernels.

        Without ``samples`` (the reference), decide here how many samples of each part every
        candidate of the search will read.
        """
        ground, plan = Ground.from_request(request), Plan.from_json(request["plan"])
        model = self.model(ground, plan)
        size = build.batch_of(model.spec, ground.workload)
        inputs = samples.first(ground.part("selection").inputs, model.spec, size)
        with build.compile_plan(model, plan, ground.workload) as runner:
            feed = runner.bind(inputs)
            seconds = build.quick_seconds(runner, feed)
            if ground.workload.objective == "throughput":
                seconds = _throughput_turn(runner, feed, 0.3)[0]
            counts = request.get("counts") or reading.sample_counts(
                request["read_seconds"], seconds / size, runner.run(feed)
            )
            answer = {
                "ok": True,
                "seconds_per_call": seconds,
                "facts": {**runner.facts, "form": model.form, "traits": sorted(model.traits)},
                "history": [step.to_json() for step in model.history],
                "size_bytes": build.stored_bytes(ground, plan),
                "counts": counts,
                **reading.read_part(
                    {**request, "samples": counts["selection"]},
                    ground,
                    runner,
                    model.spec,
                    "selection",
                ),
            }
            answer["kernels"] = [kernel.to_json() for kernel in runner.profile(feed)]
        return answer

    def do_evaluate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Outputs of an already built plan over one part, judged by the metric's statistics."""
        ground, plan = Ground.from_request(request), Plan.from_json(request["plan"])
        model = self.model(ground, plan)
        with build.compile_plan(model, plan, ground.workload) as runner:
            judged = reading.read_part(request, ground, runner, model.spec, request["part"])
        return {"ok": True, **judged}

    def do_layers(self, request: dict[str, Any]) -> dict[str, Any]:
        """SQNR per layer of a plan's model against the model before its lossy techniques.

        Pairs in the model's order: the store sorts the keys of objects.
        """
        ground, plan = Ground.from_request(request), Plan.from_json(request["plan"])
        lossy = [
            index
            for index, (family, use) in enumerate(plan.steps)
            if family == "techniques" and not plugin.techniques.get(use.name).exact
        ]
        if not lossy:
            return {"ok": True, "layers": []}
        before = build.make_model(ground, plan.steps[: lossy[0]])
        after = build.make_model(ground, plan.steps[: lossy[-1] + 1])
        size = build.batch_of(before.spec, ground.workload)
        inputs = ground.part("selection").head(max(8, size)).inputs
        found = build.layer_sqnr(before, after, inputs, size)
        return {"ok": True, "layers": list(found.items())}

    def do_answers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write a few stored inputs and a plan's outputs for them to ``place``."""
        ground, plan = Ground.from_request(request), Plan.from_json(request["plan"])
        model = self.model(ground, plan)
        inputs = ground.part("selection").inputs
        feed = samples.first(inputs, model.spec, build.batch_of(model.spec, ground.workload))
        with build.compile_plan(model, plan, ground.workload) as runner:
            answer = runner.run(runner.bind(feed))
            kept = {f"in:{name}": array for name, array in feed.items()}
            kept |= {f"out:{name}": np.asarray(array) for name, array in answer.items()}
            np.savez_compressed(request["place"], **kept)  # type: ignore[arg-type]
        return {"ok": True}

    def do_where(self, request: dict[str, Any]) -> dict[str, Any]:
        """The store's key of a built plan's model, and its note."""
        ground, plan = Ground.from_request(request), Plan.from_json(request["plan"])
        key = build.prefix_key(ground, plan.steps)
        note = ground.store.note(key)
        if note is None:
            model = self.model(ground, plan)
            note = _described(model, HastenError("no form can hold it as data"))
        spec = ground.declared(Spec.from_json(note["spec"]))
        return {"ok": True, "key": key, "note": {**note, "spec": spec.to_json()}}

    def do_open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Compile a built plan for measuring; answers with the time to the first output."""
        ground, plan = Ground.from_request(request), Plan.from_json(request["plan"])
        base = _resident_bytes()
        began = time.perf_counter()
        model = self.model(ground, plan)
        self.runner = build.compile_plan(model, plan, ground.workload)
        size = build.batch_of(model.spec, ground.workload)
        inputs = samples.first(ground.part("selection").inputs, model.spec, size)
        self.feed = self.runner.bind(inputs)
        self.runner.run(self.feed)
        seconds = time.perf_counter() - began
        used = _resident_bytes() - base
        return {"ok": True, "cold_start_seconds": seconds, "memory_bytes": max(used, 0)}

    def do_load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load a bundle for measuring or profiling, fed with the samples packed in it."""
        from hasten.bundle import load
        from hasten.verify import read_samples

        base = _resident_bytes()
        began = time.perf_counter()
        folder = Path(request["bundle"])
        bundle = load(folder, trust=request["trust"], batch=request.get("batch"))
        packed, _ = read_samples(bundle.folder or folder)
        self.runner = bundle.runner
        size = build.batch_of(bundle.spec, bundle.workload)
        inputs = samples.rows(packed, bundle.spec)
        self.feed = self.runner.bind(samples.first(inputs, bundle.spec, size))
        self.runner.run(self.feed)
        seconds = time.perf_counter() - began
        used = _resident_bytes() - base
        return {"ok": True, "cold_start_seconds": seconds, "memory_bytes": max(used, 0)}

    def do_profile(self, request: dict[str, Any]) -> dict[str, Any]:
        """The kernels of the open runner. Never timed."""
        runner = self._opened()
        return {"ok": True, "kernels": [kernel.to_json() for kernel in runner.profile(self.feed)]}

    def _opened(self) -> Runner:
        if self.runner is None:
            raise HastenError("No runner is open in this worker.")
        return self.runner

    def do_turn(self, request: dict[str, Any]) -> dict[str, Any]:
        """One turn: uncounted warm-up, then timed calls for at least ``seconds``."""
        runner = self._opened()
        timed = _throughput_turn if request["objective"] == "throughput" else _latency_turn
        return {"ok": True, "seconds": timed(runner, self.feed, request["seconds"])}

    # --- parts of requests ---

    def model(self, ground: Ground, plan: Plan) -> Model:
        """The model of a plan: the live one, or what the store and the source give."""
        if self.live is not None and ground.source is None and not plan.steps:
            return replace(self.live, spec=ground.declared(self.live.spec))
        return build.make_model(ground, plan.steps)


def _resident_bytes() -> int:
    """Memory of this process that lies in RAM."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _sized(spec: Spec, sizes: dict[str, int]) -> Spec:
    """``spec`` with some free dimensions fixed."""

    def fixed(tensor: Any) -> Any:
        shape = tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in tensor.shape)
        return replace(tensor, shape=shape)

    return replace(
        spec,
        inputs=tuple(map(fixed, spec.inputs)),
        outputs=tuple(map(fixed, spec.outputs)),
    )


def _keep(store: Store, model: Model) -> tuple[str, dict[str, Any]]:
    """Store the user's model under the hash of its own content."""
    draft = digest("draft", str(os.getpid()), str(time.time_ns()))
    note = build.save_model(store, draft, model)
    key = digest("source", note["hash"], str(model.spec.to_json()))
    store.rename(draft, key)
    return key, note


def _described(model: Model, error: HastenError) -> dict[str, Any]:
    """The note of a model that no form can hold."""
    return {
        **build.described(replace(model, traits=model.traits | {"live"})),
        "hash": "",
        "size_bytes": 0,
        "why_live": str(error),
    }


MOST_KEPT = 500
"""Calls of one turn whose seconds are kept."""


def _latency_turn(runner: Runner, feed: Any, seconds: float) -> list[float]:
    """Seconds of the calls, one after the other."""
    clock, run = time.perf_counter, runner.run
    began = clock()
    run(feed)
    slow = clock() - began > SLOW_CALL_SECONDS
    for _ in range(0 if slow else WARM_UP_CALLS - 1):
        run(feed)
    least = 1 if slow else LEAST_CALLS
    timed: list[float] = []
    deadline = clock() + seconds
    while clock() < deadline or len(timed) < least:
        began = clock()
        run(feed)
        timed.append(clock() - began)
    return _kept(timed)


def _kept(timed: list[float]) -> list[float]:
    """Of many calls as many as tell their distribution, evenly by rank: a call of microseconds
    comes ten thousand times in a turn, and all of them would fill the parent's memory."""
    if len(timed) <= MOST_KEPT:
        return timed
    ordered, last = sorted(timed), len(timed) - 1
    return [ordered[round(n * last / (MOST_KEPT - 1))] for n in range(MOST_KEPT)]


def _throughput_turn(runner: Runner, feed: Any, seconds: float) -> list[float]:
    """Seconds per call with calls overlapping: one figure per turn."""
    clock = time.perf_counter
    for _ in range(WARM_UP_CALLS):
        runner.submit(feed)
    runner.drain()
    count, began = 0, clock()
    while clock() - began < seconds or count < LEAST_CALLS:
        runner.submit(feed)
        count += 1
    runner.drain()
    return [(clock() - began) / count]


def main() -> None:
    """Answer the search's requests."""
    answering(Worker().handle)


if __name__ == "__main__":
    main()
