"""ONNX Runtime: right answers, cheap repeated calls, overlapping calls, an honest profile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import onnx_zoo as zoo
from hasten.engines import _onnxruntime as sessions
from hasten.errors import BadData, BadInput, UnknownName, Unsupported
from hasten.plugin import Runner, engines, techniques
from hasten.types import Kernel, Model, Use, Workload
from onnx_zoo import held, node, proto, tensor, weight

ENGINE = engines.get("onnxruntime")


def runner(model: Model, workload: Workload | None = None, **options: Any) -> Runner:
    return ENGINE(model, workload or Workload(2), Use.of("onnxruntime", **options))


def product() -> Model:
    body = [node("MatMul", "x w", "m"), node("Relu", "m", "y")]
    inputs = [tensor("x", ["batch", 4])]
    return zoo.loaded(proto(body, inputs, [tensor("y", None)], [weight("w", 4, 3)]))


# --- answers -------------------------------------------------------------------------------------


def test_it_computes_what_numpy_computes() -> None:
    model = product()
    x = np.random.default_rng(0).standard_normal((2, 4), dtype=np.float32)
    w = np.frombuffer(model.handle.graph.initializer[0].raw_data, np.float32).reshape(4, 3)
    with runner(model) as ready:
        assert np.allclose(ready.run(ready.bind({"x": x}))["y"], np.maximum(x @ w, 0), atol=1e-6)


def test_repeated_calls_reuse_their_outputs_and_feeds_do_not_mix() -> None:
    with runner(product()) as ready:
        feeds = [ready.bind({"x": np.full((2, 4), k, np.float32)}) for k in (1, -1)]
        first = [ready.run(feed)["y"].copy() for feed in feeds]
        again = [ready.run(feed)["y"] for feed in feeds]
        third = [ready.run(feed)["y"] for feed in feeds]
        for a, b, c in zip(first, again, third, strict=True):
            assert np.array_equal(a, b)
            assert b is c
        assert not np.array_equal(again[0], again[1])


def test_outputs_whose_shape_depends_on_the_data() -> None:
    body = [node("NonZero", "x", "n"), node("Cast", "n", "y", to=1)]
    model = zoo.loaded(proto(body, [tensor("x", ["batch", 4])], [tensor("y", [2, None])]))
    x = np.zeros((2, 4), np.float32)
    with runner(model) as ready:
        feed = ready.bind({"x": x})
        for count in (0, 1, 2):
            feed.arrays["x"].reshape(-1)[:count] = 1
            assert ready.run(feed)["y"].shape == (2, count)


def test_inputs_are_cast_and_made_contiguous() -> None:
    with runner(product()) as ready:
        wide = np.arange(8.0).reshape(4, 2).T
        right = ready.run(ready.bind({"x": np.ascontiguousarray(wide, np.float32)}))["y"].copy()
        assert np.array_equal(ready.run(ready.bind({"x": wide}))["y"], right)


def test_a_missing_input_is_named() -> None:
    with runner(product()) as ready, pytest.raises(BadData, match=r"input 'x' is missing\. It"):
        ready.bind({"y": np.zeros((2, 4), np.float32)})


def test_wrong_shapes_are_one_clear_line() -> None:
    with runner(product()) as ready:
        feed = ready.bind({"x": np.zeros((2, 5), np.float32)})
        with pytest.raises(
            Unsupported, match="Cannot run the model with 'onnxruntime': "
        ) as caught:
            ready.run(feed)
        assert "\n" not in str(caught.value)


def test_models_newer_than_the_runtime_are_one_clear_line() -> None:
    model = product()
    model.handle.ir_version = 99
    with pytest.raises(Unsupported) as caught:
        runner(model)
    assert str(caught.value).startswith(
        "Cannot run the model with 'onnxruntime': Unsupported model IR version: 99, max supported"
    )


@pytest.mark.parametrize("build", [zoo.cnn, zoo.transformer, zoo.lstm])
@pytest.mark.parametrize("batch", [1, 3])
def test_free_dimensions_are_bound_to_the_workload(build: Any, batch: int) -> None:
    model = zoo.loaded(build())
    with runner(model, Workload(batch)) as ready:
        assert ready.facts["shapes"] == "bound"
        assert ready.run(ready.bind(zoo.feed(model, batch)))["y"].shape[0] == batch


def test_a_graph_that_refuses_bound_shapes_keeps_them_free() -> None:
    """Each branch takes one length only; bound, the other one could not be typed."""
    from onnx import helper

    def branch(name: str, rows: int) -> Any:
        body = [helper.make_node("MatMul", ["x", f"w_{name}"], [f"y_{name}"])]
        stored = [weight(f"w_{name}", rows, 2)]
        return helper.make_graph(body, name, [], [tensor(f"y_{name}", None)], stored)

    body = [
        node("Shape", "x", "s"),
        node("Gather", "s one", "n"),
        node("Equal", "n four", "flag"),
        helper.make_node(
            "If", ["flag"], ["y"], then_branch=branch("a", 4), else_branch=branch("b", 8)
        ),
    ]
    stored = [held(np.array(1), "one"), held(np.array(4), "four")]
    given = proto(body, [tensor("x", ["batch", "n"])], [tensor("y", None)], stored)
    model = zoo.loaded(given)
    with runner(model, Workload(2, (("n", 4),))) as ready:
        feed = ready.bind({"x": np.ones((2, 4), np.float32)})
        assert [ready.run(feed)["y"].shape for _ in range(3)] == [(2, 2)] * 3


def test_models_too_large_for_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.loaded(zoo.cnn())
    arrays = zoo.feed(model, 2)
    expected = zoo.run(model, arrays)["y"]
    monkeypatch.setattr(sessions, "MESSAGE_BYTES", 100)
    monkeypatch.setattr("hasten.forms.onnx.MESSAGE_BYTES", 100)
    assert np.array_equal(zoo.run(model, arrays)["y"], expected)


# --- settings ------------------------------------------------------------------------------------


def test_settings_in_force_are_reported() -> None:
    with runner(product(), threads=1, optimisation="basic", spinning=False) as ready:
        assert ready.facts["threads"] == 1
        assert ready.facts["optimisation"] == "ORT_ENABLE_BASIC"
        assert ready.facts["provider"] == "CPUExecutionProvider"
        assert ready.facts["precision"] == "f32"
    with runner(product(), Workload(1, threads=2)) as ready:
        assert ready.facts["threads"] == 2
    with runner(product(), Workload(1, threads=4), streams=2) as ready:
        assert ready.facts["threads"] == 2
    with runner(product(), Workload(1)) as ready:
        assert ready.facts["threads"] >= 1


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(BadInput, match=r"with streams=0: it takes 1 or more"):
        runner(product(), streams=0)
    with pytest.raises(BadInput, match="'optimisation' of 'onnxruntime' to 'most'"):
        runner(product(), optimisation="most")
    with pytest.raises(UnknownName, match="precision"):
        runner(product(), precision="bf16")


def test_the_gpu_needs_a_build_with_cuda() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has CUDA")
    with pytest.raises(Unsupported, match=r"no CUDA\. Install it: pip install onnxruntime-gpu"):
        runner(product(), Workload(1, target="gpu"))


def test_space_and_refinements() -> None:
    target = {"cores": 8}
    latency, throughput = Workload(1), Workload(1, objective="throughput")
    assert list(ENGINE.space(frozenset(), target, latency)) == [{}]
    assert list(ENGINE.space(frozenset(), target, throughput))[1] == {"streams": 8, "threads": 1}
    assert list(ENGINE.refine({}, target, latency)) == [{"threads": 4}, {"threads": 1}]
    assert list(ENGINE.refine({}, {"cores": 2}, latency)) == [{"threads": 1}]
    assert list(ENGINE.refine({}, target, throughput)) == [{"streams": 4, "threads": 2}]
    assert list(ENGINE.refine({}, target, Workload(1, target="gpu"))) == []
    assert ENGINE.exact({"threads": 1})


# --- overlapping calls ---------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [1, 3])
def test_submitted_calls_all_finish(streams: int) -> None:
    with runner(product(), streams=streams, threads=1) as ready:
        feed = ready.bind({"x": np.ones((2, 4), np.float32)})
        for _ in range(50):
            ready.submit(feed)
        ready.drain()
        ready.drain()


def test_errors_of_submitted_calls_come_out() -> None:
    with runner(product(), streams=2, threads=1) as ready:
        bad = ready.bind({"x": np.ones((2, 5), np.float32)})
        good = ready.bind({"x": np.ones((2, 4), np.float32)})
        ready.submit(bad)
        for _ in range(20):
            ready.submit(good)
        with pytest.raises(Unsupported, match="Cannot run the model"):
            ready.drain()
        ready.drain()


# --- the profile ---------------------------------------------------------------------------------


def profiled(model: Model, batch: int = 2) -> list[Kernel]:
    with runner(model, Workload(batch, threads=1)) as ready:
        return ready.profile(ready.bind(zoo.feed(model, batch)))


@pytest.mark.parametrize("build", [zoo.cnn, zoo.transformer, zoo.lstm])
def test_the_profile_counts_the_multiply_adds_of_the_form(build: Any) -> None:
    from hasten.plugin import forms

    model = zoo.loaded(build())
    kernels = profiled(model)
    assert sum(k.macs for k in kernels) == 2 * forms.get("onnx").size(model.handle)[1]
    assert {k.precision for k in kernels if k.macs} == {"f32"}
    assert all(k.seconds >= 0 and k.name and k.op for k in kernels)


@pytest.mark.parametrize(
    ("build", "technique", "ops"),
    [
        (zoo.cnn, "int8_qdq", {"QLinearConv"}),
        (zoo.cnn, "int8_nncf_onnx", {"QLinearConv"}),
        (zoo.transformer, "int8_dynamic", {"DynamicQuantizeMatMul"}),
        (zoo.lstm, "int8_dynamic", {"DynamicQuantizeLSTM"}),
    ],
)
def test_int8_kernels_are_proven(build: Any, technique: str, ops: set[str]) -> None:
    model = zoo.loaded(build())
    small = techniques.get(technique)(model, zoo.feed(model, 8), Use(technique))
    kernels = profiled(small)
    assert ops <= {k.op for k in kernels}
    everything = sum(k.macs for k in kernels)
    assert sum(k.macs for k in kernels if k.precision == "int8") > 0.5 * everything
    assert everything == pytest.approx(sum(k.macs for k in profiled(model)), rel=0.01)


def test_profiling_leaves_no_files(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    profiled(product())
    assert list(tmp_path.iterdir()) == []


def test_attention_operators_are_counted() -> None:
    from hasten.engines._onnxruntime_profile import multiply_adds

    batch, length, width = 2, 6, 8
    packed = [{"float": [batch, length, width]}, {"float": [width, 3 * width]}]
    made = [{"float": [batch, length, width]}]
    mixing = 2 * batch * length * length * width
    projecting = batch * length * width * 3 * width
    assert multiply_adds("Attention", packed, made) == projecting + mixing
    split = [{"float": [batch, 2, length, 4]}] * 3
    assert multiply_adds("Attention", split, made) == mixing
    assert multiply_adds("Add", split, made) == 0
