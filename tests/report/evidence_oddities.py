"""Evidence records out of the ordinary: what a report must survive."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from evidence_example import (
    INT8,
    accuracy,
    layers,
    make_evidence,
    make_trials,
    per_class,
    trial,
)

from hasten.types import Score, Use, Workload


def kept_original() -> dict[str, Any]:
    """Nothing won: the reference is the winner, and no final rounds were run."""
    trials = [t for t in make_trials() if t.status in ("reference", "failed", "wrong", "broken")]
    verdict = {
        "kept_original": True,
        "sentence": "The original was kept: no candidate was faster within the limit.",
        "reason": "the only faster candidate broke the limit",
        "warnings": [],
    }
    record = make_evidence(
        verdict=verdict,
        trials=[trial.to_json() for trial in trials],
        baseline=None,
        final={},
        per_class=None,
    )
    return {**record, "winner": record["reference"]}


def without_data() -> dict[str, Any]:
    """No data: inputs from the specification, and only equivalent candidates."""
    trials = [
        t for t in make_trials() if t.key.startswith(("reference", "inductor0", "ort0", "ov0"))
    ]
    trials[-1].status = "winner"
    record = make_evidence(
        data=None,
        per_class=None,
        limit={"metric": "sqnr", "mode": "floor", "limit": 30.0, "why": "no data were given"},
        trials=[trial.to_json() for trial in trials],
    )
    final_ = {**record["final"], "scores": [], "rounds": {}}
    return {**record, "winner": trials[-1].key, "final": final_}


def with_floor(metric: str, limit: float, values: dict[str, float]) -> dict[str, Any]:
    """The example judged by a floor metric; ``values`` are by the start of a trial's key."""
    trials = make_trials()
    for found in trials:
        value = next((v for k, v in values.items() if found.key == k.ljust(16, "0")), None)
        if value is None:
            found.scores = []
            continue
        verdict = "proven" if value > limit else "broken"
        found.status = "broken" if verdict == "broken" else found.status
        bound = value - 0.1 * abs(limit - value)
        found.scores = [Score(metric, "test", 5000, None, value, None, bound, limit, verdict)]
    record = make_evidence(
        limit={"metric": metric, "mode": "floor", "limit": limit, "why": "no labels were given"},
        trials=[found.to_json() for found in trials],
        per_class=None,
    )
    return {**record, "final": {**record["final"], "scores": []}}


def with_sqnr() -> dict[str, Any]:
    values = {"winner": 38.2, "int8": 41.0, "int8bf16": 37.1, "ovbf16": 52.3, "ortint8": 27.5}
    return with_floor("sqnr", 30.0, {**values, "dynamic": 3.1})


def with_agreement() -> dict[str, Any]:
    values = {"winner": 0.9941, "int8": 0.9952, "int8bf16": 0.9936, "ovbf16": 0.9991}
    return with_floor("agreement", 0.99, {**values, "dynamic": 0.93})


def with_error() -> dict[str, Any]:
    """A regression judged by its error: drops are rises, as shares of the reference's value."""
    record = make_evidence(per_class=None)
    record["limit"] = {"metric": "mse", "mode": "drop", "limit": 0.05, "why": "--max-drop 0.05"}
    for score in [s for raw in record["trials"] for s in raw["scores"]] + record["final"]["scores"]:
        drop = 5 * score["drop"]
        bound = np.finfo(float).max if score["verdict"] == "broken" else 5 * score["bound"]
        score.update(metric="mse", reference=0.412, value=0.412 * (1 + drop), drop=drop)
        score.update(bound=bound, limit=0.05)
    return record


def rescued() -> dict[str, Any]:
    """Layers were compared on a candidate that broke the limit; the search was interrupted."""
    record = make_evidence()
    for raw in record["trials"]:
        raw["layers"] = layers() if raw["status"] == "broken" else {}
    record["verdict"]["interrupted"] = True
    record["verdict"]["sentence"] = (
        "nncf_int8(keep=2 layers, preset=mixed) + openvino(precision=bf16) is 15.72 times faster "
        "than your model as it runs now (95 % interval 15.43 to 16.01), and its accuracy is "
        "proven within the limit: it loses 0.0013, at most 0.0038 with 95 % confidence."
    )
    return record


def single() -> dict[str, Any]:
    """The budget sufficed for the reference alone."""
    record = kept_original()
    return {**record, "trials": record["trials"][:1], "machine": {}, "duration": {}, "data": None}


def many(number: int = 60) -> dict[str, Any]:
    """A long search whose candidates crowd together."""
    noise = random.Random(11)
    record = make_evidence()
    for index in range(number - len(record["trials"])):
        value, ms = 0.9310 - abs(noise.gauss(0.001, 0.003)), noise.uniform(0.63, 4.0)
        score = accuracy(value, verdict="proven" if value > 0.9245 else "unproven")
        steps = [] if index % 3 else [INT8]
        engine = Use.of(noise.choice(["openvino", "onnxruntime", "torch_compile"]), threads=index)
        more = trial(f"more{index}", engine, *steps, ms=ms, score=score, status="dominated")
        record["trials"].append(more.to_json())
    return record


def many_classes(number: int = 100) -> dict[str, Any]:
    return make_evidence(per_class=per_class(tuple(f"class {n:03d}" for n in range(number))))


def throughput() -> dict[str, Any]:
    return make_evidence(workload=Workload(16, (), None, "throughput").to_json())


def by_size() -> dict[str, Any]:
    return make_evidence(workload=Workload(1, (("time", 16),), 2, "size").to_json())


def with_unknowns() -> dict[str, Any]:
    """NaN, infinity and gaps wherever a figure may be missing."""
    record, nan, inf = make_evidence(), float("nan"), float("inf")
    for index, raw in enumerate(record["trials"]):
        raw["p95_seconds"] = raw["memory_bytes"] = nan
        if index in (1, 4):
            raw["seconds_per_call"] = nan
        if raw["ratio"] and index == 2:
            raw["ratio"] = {**raw["ratio"], "low": nan, "high": inf}
        for score in raw["scores"]:
            score.update({"bound": nan} if index % 2 else {"value": nan, "drop": nan})
        for kernel in raw["kernels"][::3]:
            kernel.update(seconds=nan)
        for kernel in raw["kernels"][1::3]:
            kernel.update(macs=0)
        raw["layers"] = {k: (inf, nan, v)[i % 3] for i, (k, v) in enumerate(raw["layers"].items())}
    record["machine"]["peaks"] = {"int8": nan, "f32": 4.6e11}
    record["per_class"][0].update(before=nan, after=nan)
    return record


HOSTILE = "<script>alert(1)</script>&\"'\x07\u202e]]>{{ 7*7 }}"


def hostile() -> dict[str, Any]:
    """Names and messages that try to become markup."""
    record = make_evidence(command=HOSTILE)
    record["model"]["name"] = record["data"]["source"] = HOSTILE
    record["verdict"] = {
        "kept_original": False,
        "sentence": HOSTILE,
        "reason": HOSTILE,
        "warnings": [HOSTILE],
    }
    for raw in record["trials"]:
        raw["plan"]["engine"]["name"] = HOSTILE
        raw["error"] = f"{HOSTILE}\n{HOSTILE}"
        raw["layers"] = {HOSTILE: 1.0, **raw["layers"]}
        raw["facts"] = {HOSTILE: HOSTILE}
        for kernel in raw["kernels"]:
            kernel.update(name=HOSTILE, op=HOSTILE, precision=HOSTILE)
    for row in record["per_class"]:
        row["label"] = HOSTILE
    return record


def long_names() -> dict[str, Any]:
    """Names far longer than any column."""
    record = make_evidence()
    record["model"]["name"] = "package.of.a.very.deep.tree." * 8 + "model"
    for index, raw in enumerate(record["trials"]):
        raw["plan"]["engine"]["name"] = f"an_engine_with_a_name_that_never_ends_{index}" * 3
        for kernel in raw["kernels"]:
            kernel["name"] = "model/encoder/block/attention/" * 6 + kernel["name"]
    return record


CASES = {
    case.__name__: case
    for case in (
        make_evidence,
        kept_original,
        without_data,
        with_sqnr,
        with_agreement,
        with_error,
        rescued,
        single,
        many,
        many_classes,
        throughput,
        by_size,
        with_unknowns,
        hostile,
        long_names,
    )
}
