"""Contenders: found by file name, documented, applicable where they say, and timed alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from bench import child, contenders, jobs, process, turns
from bench.contenders import OURS, REFERENCE, hasten_bundle, olive
from bench.jobs import Job
from bench.race import versions
from hasten.errors import CandidateFailed, UnknownName

JOB = Job.named("lstm-b16")


@pytest.mark.parametrize("name", contenders.names())
def test_a_contender_says_what_it_is_and_what_it_follows(name: str) -> None:
    contender = contenders.get(name)
    assert contender.name == name
    assert contender.title
    assert contender.source.startswith(("https://", "README.md"))


def test_channels_last_is_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    contender, shape = contenders.get("torch_channels_last"), [2, 3, 8, 8]
    monkeypatch.setattr(Job, "part", lambda *_: {"x": np.zeros(shape)})
    assert not contender.inapplicable(JOB)
    shape.insert(1, 16)
    assert contender.inapplicable(JOB) == "its input is no picture"


def test_the_contenders_that_the_race_needs_are_there() -> None:
    assert {OURS, *REFERENCE.values()} <= set(contenders.names())
    with pytest.raises(UnknownName, match="Did you mean 'torch_eager'"):
        contenders.get("torch_eagre")


def test_documentation_decides_who_applies() -> None:
    dynamic, eager = contenders.get("onnxruntime_dynamic_int8"), contenders.get("torch_eager")
    assert not dynamic.inapplicable(JOB)
    assert "advises static for CNNs" in dynamic.inapplicable(Job.named("resnet18-b1"))
    assert eager.inapplicable(Job.named("magika-b1")) == "it is an ONNX model"
    assert "torchvision" in contenders.get("pruna").inapplicable(JOB)


def test_hasten_gets_the_given_samples_and_the_races_limit(cache: Path) -> None:
    asked = hasten_bundle.command(JOB, cache, "90s")
    assert asked[1:3] == ["optimize", "bench.models.recurrent:lstm"]
    assert asked[asked.index("--data") + 1].endswith("lstm/given.npz")
    assert [asked[asked.index(o) + 1] for o in ("--metric", "--floor", "--batch", "--budget")] == [
        "sqnr",
        "30",
        "16",
        "90s",
    ]
    fashion = hasten_bundle.command(Job.named("fashion-cnn-b1"), cache, "5m")
    assert fashion[fashion.index("--max-drop") + 1] == "0.01"
    assert hasten_bundle.command(Job.named("magika-b1"), cache, "5m")[2].endswith("model.onnx")


def test_olives_workflow_follows_its_guide(cache: Path) -> None:
    data = {"name": "given"}
    cnn = olive.workflow(Job.named("resnet18-b1"), data, cache)["passes"]
    assert cnn["quantization"]["activation_type"] == "uint8"
    assert cnn["tuning"]["type"] == "OrtSessionParamsTuning"
    assert olive.workflow(JOB, data, cache)["passes"]["quantization"]["quant_mode"] == "dynamic"


def test_versions_are_recorded_of_what_is_installed() -> None:
    found = versions([contenders.get("onnxruntime_default"), contenders.get("pruna")])
    assert set(found) <= {"onnx", "onnxruntime"}


# --- the child ------------------------------------------------------------------------------------


def test_a_turn_warms_up_and_lasts() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(time.perf_counter())

    seconds = child.turn(call, 0.002)
    assert len(seconds) >= turns.TURN_CALLS
    assert len(calls) > len(seconds)
    slow = child.turn(lambda: time.sleep(0.004), 0.001)
    assert len(slow) == turns.TURN_CALLS


def test_sqnr_in_decibels() -> None:
    signal = np.ones(100)
    assert child.sqnr_decibel(signal, signal + 0.1) == pytest.approx(20.0)
    assert child.sqnr_decibel(signal, signal) == 200.0
    assert child.sqnr_decibel(signal, signal * np.nan) == -200.0


# --- jobs -----------------------------------------------------------------------------------------


def test_a_job_has_a_name_and_cuts_whole_batches() -> None:
    assert JOB.name == "lstm-b16"
    assert (JOB.row.name, JOB.batch) == ("lstm", 16)
    cut = JOB.batches({"x": np.arange(40)})
    assert [list(arrays["x"][:1]) for arrays in cut] == [[0], [16]]


def test_an_onnx_model_gets_its_sizes() -> None:
    onnx = pytest.importorskip("onnx")
    helper, float_ = onnx.helper, onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", float_, ["n", 3, "h", -1])]
    outputs = [helper.make_tensor_value_info("y", float_, ["n", 3, "h2", "w2"])]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", inputs, outputs)
    for batch, leading in ((None, "batch"), (4, 4)):
        model = helper.make_model(graph)
        jobs._fix(model, {"x": (3, 8, 9)}, batch)
        dims = model.graph.input[0].type.tensor_type.shape.dim
        assert [d.dim_param or d.dim_value for d in dims] == [leading, 3, 8, 9]
        onnx.checker.check_model(model)


# --- processes ------------------------------------------------------------------------------------


def test_texts_lose_this_machines_paths_and_addresses(cache: Path) -> None:
    told = {"a": [f"{cache}/x and {process.ROOT}/y", "see https://example.org/z now", 3]}
    assert process.scrubbed(told) == {"a": ["$HASTEN_CACHE/x and ./y", "see <address> now", 3]}


def test_a_child_that_fails_says_why(cache: Path) -> None:
    contender = contenders.get("onnxruntime_default")
    with pytest.raises(CandidateFailed, match="FileNotFoundError"):
        process.once("build", JOB, contender, cache / "ours", 120)


@pytest.mark.slow
def test_a_contender_is_built_scored_and_timed_in_its_own_process(cache: Path) -> None:
    for package in ("torch", "onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    eager, ours = contenders.get("torch_eager"), contenders.get("onnxruntime_default")
    process.once("prepare", JOB, None, JOB.folder, 240)
    for contender in (eager, ours):
        folder = JOB.folder / contender.name
        folder.mkdir()
        assert process.once("build", JOB, contender, folder, 240)["seconds"] > 0
        found = process.once("score", JOB, contender, folder, 240)
        assert found["sqnr"] > 90
    with process.Racer(JOB, ours, JOB.folder / ours.name, 240) as racer:
        assert len(racer.turn(0.01)) >= turns.TURN_CALLS
        state = Path(f"/proc/{racer.process.pid}/stat")
        if state.exists():
            until = time.monotonic() + 10
            while state.read_text().rpartition(")")[2].split()[0] != "T":
                assert time.monotonic() < until
        assert racer.cost["memory_bytes"] > 0
    assert not os.path.exists(f"/proc/{racer.process.pid}")
    jobs.clear(JOB)
    assert not JOB.samples.exists()
    assert json.dumps(racer.cost)
