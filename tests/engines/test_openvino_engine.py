"""The OpenVINO engine: outputs, settings, memory, overlap, and what the profile says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino")

from hasten.errors import BadData, BadInput, Unsupported
from hasten.plugin import engines, forms
from hasten.types import Arrays, Model, Use, Workload
from openvino_zoo import cnn, decibel, feeds, held, lstm, transformer

ENGINE = engines.get("openvino")
MODELS = {"cnn": cnn, "transformer": transformer, "lstm": lstm}
CPU = {"isa": ["avx2", "avx512_vnni", "avx512_bf16"], "cores": 2, "arch": "x86_64"}


def direct(model: Model, feed: Arrays) -> list[np.ndarray]:
    """What OpenVINO itself answers, free shapes and all."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model.handle, "CPU", settings)
    return list(compiled(list(feed.values())).values())


def computes_natively(precision: str) -> bool:
    import openvino

    told = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {"bf16": "BF16", "f16": "FP16"}[precision] in told


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_by_name(name: str, threads: int, batch: int) -> None:
    model = MODELS[name]()
    workload = Workload(batch=batch, threads=threads)
    with ENGINE(model, workload, Use("openvino")) as runner:
        for seed in range(2):
            feed = feeds(model, batch, seed)
            found = runner.run(runner.bind(feed))
            assert list(found) == [tensor.name for tensor in model.spec.outputs]
            for wanted, array in zip(direct(model, feed), found.values(), strict=True):
                np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-6)


def test_the_model_stays_as_it_was() -> None:
    model = cnn()
    ENGINE(model, Workload(batch=2), Use("openvino")).close()
    assert model.handle.inputs[0].partial_shape[0].is_dynamic


@pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
def test_precision_is_what_was_asked_or_refused(precision: str) -> None:
    model = cnn()
    use = Use.of("openvino", precision=precision)
    if precision != "f32" and not computes_natively(precision):
        with pytest.raises(Unsupported, match=f"in {precision}: on this CPU it falls back to"):
            ENGINE(model, Workload(), use)
        return
    with ENGINE(model, Workload(), use) as runner:
        assert runner.facts["precision"] == precision
        kernels = runner.profile(runner.bind(feeds(model, 1)))
        assert {kernel.precision for kernel in kernels if kernel.macs} == {precision}


def test_facts_are_the_settings_in_force() -> None:
    with ENGINE(cnn(), Workload(threads=1), Use("openvino")) as runner:
        assert runner.facts == {"precision": "f32", "threads": 1, "streams": 1, "devices": ["CPU"]}
    with ENGINE(cnn(), Workload(), Use.of("openvino", streams=2, threads=2)) as runner:
        assert (runner.facts["streams"], runner.facts["threads"]) == (2, 2)


@pytest.mark.parametrize("name", ["threads", "streams"])
def test_less_than_one_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name}=0: it takes 1 or more"):
        ENGINE(cnn(), Workload(), Use.of("openvino", **{name: 0}))


def test_inputs_share_memory_where_they_can() -> None:
    model = cnn()
    with ENGINE(model, Workload(batch=2), Use("openvino")) as runner:
        image = feeds(model, 2)["image"]
        feed = runner.bind({"image": image})
        before = runner.run(feed)["y"].copy()
        image *= 2
        assert np.abs(runner.run(feed)["y"] - before).max() > 0


def awkward(image: np.ndarray) -> dict[str, np.ndarray]:
    """The same values in memory that a tensor cannot share."""
    raw = np.zeros(image.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(image.shape)
    unaligned[...] = image
    fixed = image.copy()
    fixed.flags.writeable = False
    last = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return {
        "unaligned": unaligned,
        "read-only": fixed,
        "channels last": last,
        "reversed": image[::-1][::-1],
        "double": image.astype(np.float64),
        "big-endian": image.astype(">f4"),
    }


@pytest.mark.parametrize("kind", awkward(np.zeros((1, 1, 2, 2), np.float32)))
def test_awkward_memory_is_copied(kind: str) -> None:
    model = cnn()
    with ENGINE(model, Workload(batch=2), Use("openvino")) as runner:
        image = feeds(model, 2)["image"]
        wanted = runner.run(runner.bind({"image": image}))["y"].copy()
        found = runner.run(runner.bind({"image": awkward(image)[kind]}))["y"]
        np.testing.assert_array_equal(found, wanted)


def test_feeds_that_do_not_fit_are_named() -> None:
    model = transformer()
    with ENGINE(model, Workload(batch=2), Use("openvino")) as runner:
        feed = feeds(model, 2)
        with pytest.raises(BadData, match="Input 'mask' is missing"):
            runner.bind({"tokens": feed["tokens"]})
        with pytest.raises(BadData, match=r"'tokens' has shape \[3, 6\]; .* compiled for \[2,6\]"):
            runner.bind(feeds(model, 3))


def test_feeds_may_alternate() -> None:
    model = cnn()
    with ENGINE(model, Workload(), Use("openvino")) as runner:
        inputs = [feeds(model, 1, seed) for seed in range(3)]
        bound = [runner.bind(feed) for feed in inputs]
        wanted = [direct(model, feed)[0] for feed in inputs]
        for index in (0, 1, 2, 1, 0):
            np.testing.assert_allclose(runner.run(bound[index])["y"], wanted[index], rtol=1e-4)


@pytest.mark.parametrize("streams", [1, 2])
def test_calls_overlap_and_are_drained(streams: int) -> None:
    model = cnn()
    use = Use.of("openvino", streams=streams)
    with ENGINE(model, Workload(objective="throughput"), use) as runner:
        feed = runner.bind(feeds(model, 1))
        runner.drain()
        for _ in range(9):
            runner.submit(feed)
        runner.drain()
        np.testing.assert_allclose(
            runner.run(feed)["y"], direct(model, feeds(model, 1))[0], rtol=1e-4
        )


def test_inputs_of_running_calls_stay_alive() -> None:
    """OpenVINO itself does not hold on to shared memory."""
    import gc
    import weakref

    model = cnn()
    with ENGINE(model, Workload(), Use("openvino")) as runner:
        image = feeds(model, 1)["image"]
        held = weakref.ref(image)
        runner.submit(runner.bind({"image": image}))
        del image
        gc.collect()
        assert held() is not None
        runner.drain()


def shapely() -> Model:
    """A graph whose output shape depends on values, an integer and a boolean among its ports."""
    import openvino
    from openvino import opset13 as op

    x, keep = op.parameter([-1], np.int64), op.parameter([], np.bool_)
    found = op.non_zero(op.greater(x, op.constant(np.int64(0))), "i64")
    chosen = op.logical_not(keep)
    graph = openvino.Model([found, chosen], [x, keep])
    outputs = {"where": ("int64", 1, "found"), "not": ("bool",)}
    return held(graph, {"x": ("int64", "batch"), "keep": ("bool",)}, outputs)


def test_shapes_that_depend_on_values() -> None:
    model = shapely()
    with ENGINE(model, Workload(batch=4), Use("openvino")) as runner:
        for x in ([1, 0, 3, 0], [0, 0, 0, 0], [1, 2, 3, 4]):
            feed = {"x": np.array(x, np.int64), "keep": np.array(True)}
            found = runner.run(runner.bind(feed))
            np.testing.assert_array_equal(found["where"][0], np.nonzero(x)[0])
            assert found["where"].dtype == np.int64
            assert not found["not"]


def test_text_inputs() -> None:
    import openvino
    from openvino import opset13 as op

    text = op.parameter([-1], openvino.Type.string)
    graph = openvino.Model([text], [text])
    model = held(graph, {"text": ("str", "batch")}, {"same": ("str", "batch")})
    with ENGINE(model, Workload(batch=2), Use("openvino")) as runner:
        for words in (["fast", "größer"], ["a", "b"]):
            feed = runner.bind({"text": np.array(words, object)})
            assert list(runner.run(feed)["same"]) == words


def test_a_specification_that_does_not_fit_is_named() -> None:
    model = transformer()
    spec = replace(model.spec, inputs=model.spec.inputs[:1])
    with pytest.raises(Unsupported, match="2 inputs, its specification 1"):
        ENGINE(replace(model, spec=spec), Workload(), Use("openvino"))


@pytest.mark.parametrize("name", MODELS)
def test_the_profile_accounts_for_every_multiply_add(name: str) -> None:
    model = MODELS[name]()
    batch = 3
    with ENGINE(model, Workload(batch=batch), Use("openvino")) as runner:
        kernels = runner.profile(runner.bind(feeds(model, batch)))
    assert sum(k.macs for k in kernels) == batch * forms.get("openvino").size(model.handle)[1]
    assert all(kernel.seconds >= 0 for kernel in kernels)
    assert sum(kernel.seconds for kernel in kernels) > 0


def test_the_profile_leaves_the_timed_copy_alone() -> None:
    model = cnn()
    with ENGINE(model, Workload(), Use("openvino")) as runner:
        feed = runner.bind(feeds(model, 1))
        before = runner.run(feed)["y"].copy()
        runner.profile(feed)
        timed: Any = runner
        assert timed._compiled.get_property("PERF_COUNT") in (False, "NO")
        np.testing.assert_array_equal(runner.run(feed)["y"], before)


def product_kinds() -> dict[str, Model]:
    """Layers whose kernels have their own rule for counting."""
    import openvino
    from openvino import opset13 as op

    x = op.parameter([-1, 4, 6, 6], np.float32)
    weight = np.random.default_rng(0).standard_normal
    ones, zeros = [1, 1], [0, 0]
    grouped = op.group_convolution(
        x, weight((2, 3, 2, 3, 3)).astype("f4"), ones, zeros, zeros, ones
    )
    wider = op.convolution_backprop_data(x, op.constant(weight((4, 5, 2, 2)).astype("f4")), [2, 2])
    products = {
        "grouped": (grouped, [3 * 2, 4, 4]),
        "transposed": (wider, [5, 12, 12]),
        "computed": (op.matmul(x, x, True, False), [4, 6, 6]),
    }
    return {
        name: held(
            openvino.Model([node], [x]),
            {"x": ("float32", "batch", 4, 6, 6)},
            {"y": ("float32", "batch", *shape)},
        )
        for name, (node, shape) in products.items()
    }


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("grouped", 2 * 6 * 16 * (2 * 9)),
        ("transposed", 2 * 4 * 36 * (5 * 4)),
        ("computed", 2 * 4 * 6 * 6 * 6),
    ],
)
def test_counting_rules(name: str, macs: int) -> None:
    model = product_kinds()[name]
    with ENGINE(model, Workload(batch=2), Use("openvino")) as runner:
        kernels = runner.profile(runner.bind(feeds(model, 2)))
    assert sum(kernel.macs for kernel in kernels) == macs
    model.handle.reshape([2, 4, 6, 6])
    assert sum(forms.get("openvino").multiply_adds(model.handle).values()) == macs


def test_space_asks_only_for_what_the_cpu_has() -> None:
    def space(flags: list[str], **changes: Any) -> list[dict[str, Any]]:
        target = {**CPU, "isa": flags}
        return [dict(o) for o in ENGINE.space(frozenset(), target, Workload(**changes))]

    assert space(["avx2"]) == [{"precision": "f32"}]
    assert space(["avx512_bf16"]) == [{"precision": "bf16"}, {"precision": "f32"}]
    assert {"precision": "f16"} in space(["amx_fp16", "amx_bf16"])
    assert space(["avx2"], objective="throughput") == [{"precision": "f32", "streams": 2}]


def test_refinement_tries_fewer_threads() -> None:
    assert list(ENGINE.refine({}, CPU, Workload())) == [{"threads": 1}]
    assert list(ENGINE.refine({}, CPU, Workload(threads=8))) == [{"threads": 4}, {"threads": 1}]
    assert list(ENGINE.refine({}, CPU, Workload(threads=1))) == []
    assert list(ENGINE.refine({}, CPU, Workload(objective="throughput"))) == [{"streams": 1}]


def test_only_f32_counts_as_exact() -> None:
    assert ENGINE.exact({})
    assert ENGINE.exact({"precision": "f32", "threads": 1})
    assert not ENGINE.exact({"precision": "bf16"})


def test_bf16_stays_close() -> None:
    if not computes_natively("bf16"):
        pytest.skip("this CPU has no bf16 arithmetic")
    model = transformer()
    feed = feeds(model, 2)
    with ENGINE(model, Workload(batch=2), Use.of("openvino", precision="bf16")) as runner:
        answers = runner.run(runner.bind(feed)).values()
        for wanted, found in zip(direct(model, feed), answers, strict=True):
            assert 30 < decibel(wanted, found) < 100
