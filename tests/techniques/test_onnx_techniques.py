"""The techniques on ONNX graphs: what they change, what they keep, what they refuse."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnx_zoo as zoo
from hasten.errors import BadData, BadInput, UnknownName, Unsupported
from hasten.plugin import techniques
from hasten.techniques import _onnx
from hasten.types import Arrays, Model, Normalisation, Spec, TensorSpec, Use
from onnx_zoo import held, node, proto, tensor, weight

VNNI = {"arch": "x86_64", "isa": ["avx512f", "avx512_vnni"]}
OLD_X86 = {"arch": "x86_64", "isa": ["avx2"]}
STATIC = ["int8_qdq", "int8_nncf_onnx"]


def apply(name: str, model: Model, samples: Arrays | None = None, **options: Any) -> Model:
    return techniques.get(name)(model, samples or {}, Use.of(name, **options))


def ops(model: Model) -> list[str]:
    return [each.op_type for each in model.handle.graph.node]


def inner(model: Model) -> set[str]:
    """What feeds each layer: the types of the nodes before it."""
    makers = {out: each.op_type for each in model.handle.graph.node for out in each.output}
    layers = [n for n in model.handle.graph.node if n.op_type in ("Conv", "Gemm", "MatMul")]
    return {f"{layer.name} <- {makers.get(layer.input[0], '')}" for layer in layers}


# --- clean-up ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 17, 21])
@pytest.mark.parametrize("stored", ["initialisers", "constants"])
def test_cleanup_folds_and_keeps_what_is_computed(opset: int, stored: str) -> None:
    given = zoo.cnn(opset)
    model = zoo.loaded(given if stored == "initialisers" else zoo.constants(given))
    clean = apply("graph_cleanup", model)
    for batch in (1, 3):
        arrays = zoo.feed(model, batch)
        assert np.allclose(zoo.run(clean, arrays)["y"], zoo.run(model, arrays)["y"], atol=1e-6)
    assert not {"Constant", "BatchNormalization"} & set(ops(clean))
    assert clean.handle.opset_import[0].version >= 13
    assert clean.spec == model.spec
    assert "constant-weights" not in clean.traits
    names = [each.name for each in clean.handle.graph.node]
    assert {"stem", "depthwise", "pointwise", "head"} <= set(names)
    assert len(set(names)) == len(names)


def test_cleanup_leaves_the_given_model_alone() -> None:
    model = zoo.loaded(zoo.constants(zoo.cnn(11)))
    before = model.handle.SerializeToString(deterministic=True)
    apply("graph_cleanup", model)
    assert model.handle.SerializeToString(deterministic=True) == before


def test_cleanup_inlines_decided_branches_and_keeps_open_ones() -> None:
    decided = zoo.branches()
    del decided.graph.input[1]
    decided.graph.initializer.append(held(np.array(True), "flag"))
    assert "If" not in ops(apply("graph_cleanup", zoo.loaded(decided)))
    assert "If" in ops(apply("graph_cleanup", zoo.loaded(zoo.branches())))


def test_cleanup_works_through_a_file_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hasten.forms.onnx.MESSAGE_BYTES", 100)
    model = zoo.loaded(zoo.lstm())
    arrays = zoo.feed(model, 2)
    clean = apply("graph_cleanup", model)
    assert np.allclose(zoo.run(clean, arrays)["y"], zoo.run(model, arrays)["y"], atol=1e-6)


def test_cleanup_of_a_graph_that_cannot_run_is_one_clear_line() -> None:
    body = [node("MatMul", "x w", "y")]
    given = proto(body, [tensor("x", ["batch", 4])], [tensor("y", None)], [weight("w", 5, 3)])
    with pytest.raises(
        Unsupported, match=r"Cannot apply 'graph_cleanup' to this model: "
    ) as caught:
        apply("graph_cleanup", zoo.loaded(given))
    assert "\n" not in str(caught.value)


def test_cleaning_twice_changes_nothing() -> None:
    once = apply("graph_cleanup", zoo.loaded(zoo.cnn()))
    assert _onnx.clean(once) == once.handle


# --- static int8 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATIC)
@pytest.mark.parametrize("opset", [9, 12, 17, 22])
def test_static_int8_is_close_and_small(name: str, opset: int) -> None:
    model = zoo.loaded(zoo.constants(zoo.cnn(opset)) if opset < 17 else zoo.cnn(opset))
    small = apply(name, model, zoo.feed(model, 32))
    arrays = zoo.feed(model, 16, seed=5)
    assert zoo.decibel(zoo.run(model, arrays)["y"], zoo.run(small, arrays)["y"]) > 25
    assert "quantized" in small.traits
    assert {"stem <- DequantizeLinear", "pointwise <- DequantizeLinear"} <= inner(small)
    weights = {t.data_type for t in small.handle.graph.initializer if len(t.dims) == 4}
    assert weights == {onnx.TensorProto.INT8}
    assert small.spec == model.spec


@pytest.mark.parametrize("name", STATIC)
def test_kept_layers_stay_in_float(name: str) -> None:
    model = zoo.loaded(zoo.cnn())
    small = apply(name, model, zoo.feed(model, 8), keep=("depthwise", "head"))
    stored = {t.name: t.data_type for t in small.handle.graph.initializer}
    by_name = {each.name: each for each in small.handle.graph.node}
    assert stored[by_name["depthwise"].input[1]] == onnx.TensorProto.FLOAT
    assert by_name["stem"].input[1] not in stored  # dequantised


@pytest.mark.parametrize("name", [*STATIC, "int8_dynamic"])
def test_unknown_layers_are_refused(name: str) -> None:
    model = zoo.loaded(zoo.transformer())
    with pytest.raises(UnknownName, match=r"layer to keep in float 'heat'\. Did you mean 'head'"):
        apply(name, model, zoo.feed(model, 4), keep=("heat",))


@pytest.mark.parametrize("name", STATIC)
def test_integer_inputs_and_attention(name: str) -> None:
    model = zoo.loaded(zoo.transformer())
    options = next(iter(techniques.get(name).space(model.traits, VNNI)))
    small = apply(name, model, zoo.feed(model, 32), **options)
    arrays = zoo.feed(model, 8, seed=3)
    assert zoo.decibel(zoo.run(model, arrays)["y"], zoo.run(small, arrays)["y"]) > 15
    assert "attention" in small.traits


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_ways_to_calibrate(method: str, per_channel: bool) -> None:
    model = zoo.loaded(zoo.cnn())
    small = apply("int8_qdq", model, zoo.feed(model, 6), calibrate=method, per_channel=per_channel)
    arrays = zoo.feed(model, 8, seed=3)
    assert zoo.decibel(zoo.run(model, arrays)["y"], zoo.run(small, arrays)["y"]) > 10
    scales = {t.name: t.dims for t in small.handle.graph.initializer}["w2_scale"]
    assert list(scales) == ([8] if per_channel else [])


def test_layers_alone_leave_the_rest_in_float() -> None:
    model = zoo.loaded(zoo.cnn())
    everything, layers = (
        apply("int8_qdq", model, zoo.feed(model, 8), operators=which) for which in ("all", "layers")
    )
    taken = [
        {each.name: each for each in made.handle.graph.node}["p"].input[0]
        for made in (everything, layers)
    ]
    assert ["Dequantize" in name for name in taken] == [True, False]


@pytest.mark.parametrize("name", STATIC)
def test_quantising_prints_nothing_and_leaves_no_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = zoo.loaded(zoo.cnn())
    apply(name, model, zoo.feed(model, 4))
    assert list(tmp_path.iterdir()) == []
    assert "".join(capfd.readouterr()) == ""
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize("name", STATIC)
def test_nothing_to_quantise(name: str) -> None:
    model = zoo.loaded(zoo.branches())
    samples = {"x": np.ones((4, 4), np.float32), "flag": np.array([True] * 4)}
    with pytest.raises(Unsupported, match="it found no layer that can be quantised"):
        apply(name, model, samples)


@pytest.mark.parametrize("name", [*STATIC, "int8_dynamic"])
def test_quantising_twice_is_refused(name: str) -> None:
    model = replace(zoo.loaded(zoo.transformer()), traits=frozenset({"quantized", "attention"}))
    with pytest.raises(Unsupported, match="not for a model with quantized"):
        apply(name, model, zoo.feed(model, 4))


def test_smoothing_out_of_range() -> None:
    with pytest.raises(BadInput, match=r"'smooth_quant' of 'int8_nncf_onnx' to 2\.0"):
        apply("int8_nncf_onnx", zoo.loaded(zoo.cnn()), {}, smooth_quant=2.0)


# --- calibration batches -------------------------------------------------------------------------


def spec_of(**shapes: tuple[int | str, ...]) -> Spec:
    return Spec(tuple(TensorSpec(name, "float32", shape) for name, shape in shapes.items()), ())


@pytest.mark.parametrize(
    ("spec", "arrays", "calls"),
    [
        (spec_of(x=("batch", 3)), {"x": (5, 3)}, [(1, 3)] * 5),
        (spec_of(x=(2, 3)), {"x": (5, 3)}, [(2, 3)] * 2),
        (spec_of(x=(4, 3)), {"x": (2, 3)}, [(4, 3)]),
        (spec_of(x=("batch", 3), s=(2, "batch")), {"x": (2, 3), "s": (2, 2, 1)}, [(1, 3)] * 2),
        (spec_of(x=("batch", 3), r=()), {"x": (2, 3), "r": (2,)}, [(1, 3)] * 2),
        (spec_of(x=(1, 3), s=(2, 1, 4)), {"x": (3, 3), "s": (6, 1, 4)}, [(1, 3)] * 3),
    ],
)  # fmt: skip
def test_batches_fit_the_model(
    spec: Spec, arrays: dict[str, tuple[int, ...]], calls: list[tuple[int, ...]]
) -> None:
    samples = {name: np.zeros(shape, np.float32) for name, shape in arrays.items()}
    feeds = list(_onnx.Batches(spec, samples))
    assert [feed["x"].shape for feed in feeds] == calls
    for feed in feeds:
        for tensor_ in spec.inputs:
            assert feed[tensor_.name].ndim == len(tensor_.shape)


def test_no_samples_no_calibration() -> None:
    with pytest.raises(BadData, match="there are no samples"):
        list(_onnx.Batches(spec_of(x=("batch", 3)), {"x": np.zeros((0, 3), np.float32)}))


def test_a_model_of_fixed_batch_is_calibrated() -> None:
    model = zoo.loaded(zoo.cnn(batch=2))
    small = apply("int8_qdq", model, zoo.feed(model, 6))
    assert zoo.run(small, zoo.feed(model, 2))["y"].shape == (2, 5)


# --- dynamic int8 --------------------------------------------------------------------------------


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("build", [zoo.transformer, zoo.lstm])
def test_dynamic_int8_needs_no_samples(build: Any, per_channel: bool) -> None:
    model = zoo.loaded(build())
    small = apply("int8_dynamic", model, per_channel=per_channel)
    arrays = zoo.feed(model, 8)
    assert zoo.decibel(zoo.run(model, arrays)["y"], zoo.run(small, arrays)["y"]) > 20
    assert "Conv" not in ops(small)
    assert {"MatMulInteger", "DynamicQuantizeLSTM"} & set(ops(small))


def test_dynamic_int8_keeps_layers() -> None:
    model = zoo.loaded(zoo.transformer())
    small = apply("int8_dynamic", model, keep=("head", "q_proj"))
    names = {each.name for each in small.handle.graph.node if each.op_type == "MatMulInteger"}
    assert {"k_proj_quant", "v_proj_quant", "out_proj_quant"} <= names
    assert not {"q_proj_quant", "head_quant", "head_MatMul_quant"} & names


def test_dynamic_int8_is_not_for_convolutions() -> None:
    verdict = techniques.get("int8_dynamic").supports(
        "onnx", frozenset({"convolution"}), Spec((), ())
    )
    assert verdict.why == "it is for models with attention or recurrent cells"


def test_weights_shared_with_a_transposed_product_stay_right() -> None:
    """The quantiser transposes a Gemm's weight in place; here an embedding uses it as well."""
    body = [
        node("Gather", "table ids", "e"),
        node("ReduceMean", "e", "p", axes=[1], keepdims=0),
        node("Gemm", "p table", "y", "tied", transB=1),
    ]
    inputs = [tensor("ids", ["batch", 6], zoo.INT64)]
    given = proto(body, inputs, [tensor("y", None)], [weight("table", 50, 32)])
    model = replace(zoo.loaded(given), traits=frozenset({"attention"}))
    small = apply("int8_dynamic", model)
    arrays = zoo.feed(model, 4)
    assert zoo.decibel(zoo.run(model, arrays)["y"], zoo.run(small, arrays)["y"]) > 20


@pytest.mark.parametrize("name", [*STATIC, "int8_dynamic"])
def test_cpus_whose_products_saturate_get_smaller_weights(name: str) -> None:
    technique = techniques.get(name)
    assert not any(_narrowed(o) for o in technique.space(frozenset({"attention"}), VNNI))
    assert all(_narrowed(o) for o in technique.space(frozenset({"attention"}), OLD_X86))
    assert not any(_narrowed(o) for o in technique.space(frozenset(), {"arch": "aarch64"}))


def _narrowed(options: Any) -> bool:
    return bool(options.get("reduce_range") or options.get("saturates"))


# --- uint8 inputs --------------------------------------------------------------------------------


NORMALISE = Normalisation(1 / 255, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


@pytest.mark.parametrize("quantise", [False, True])
def test_uint8_input_computes_what_numpy_normalises(quantise: bool) -> None:
    model = zoo.loaded(zoo.cnn())
    model = replace(model, spec=replace(model.spec, normalisation={"x": NORMALISE}))
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16), np.uint8)
    if quantise:
        model = apply("int8_qdq", model, {"x": NORMALISE(images)})
    folded = apply("uint8_input_onnx", model)
    assert folded.spec.inputs[0].dtype == "uint8"
    assert "uint8-input" in folded.traits
    expected = zoo.run(model, {"x": NORMALISE(images)})["y"]
    assert np.allclose(zoo.run(folded, {"x": images})["y"], expected, atol=1e-5)
    assert model.handle.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    onnx.checker.check_model(folded.handle, full_check=True)


def test_uint8_input_reaches_into_branches() -> None:
    model = zoo.loaded(zoo.branches())
    how = Normalisation(0.1, (1.0,), (2.0,), axis=0)
    model = replace(model, spec=replace(model.spec, normalisation={"x": how}))
    x = np.arange(8, dtype=np.uint8).reshape(2, 4)
    folded = apply("uint8_input_onnx", model)
    for flag in (np.array(True), np.array(False)):
        expected = zoo.run(model, {"x": how(x), "flag": flag})["y"]
        assert np.allclose(zoo.run(folded, {"x": x, "flag": flag})["y"], expected, atol=1e-5)


def test_uint8_input_needs_a_declared_normalisation() -> None:
    with pytest.raises(Unsupported, match="its data declare no normalisation"):
        apply("uint8_input_onnx", zoo.loaded(zoo.cnn()))
    model = zoo.loaded(zoo.transformer())
    wrong = replace(model, spec=replace(model.spec, normalisation={"ids": NORMALISE}))
    with pytest.raises(Unsupported, match="input 'ids' is int64, not float32"):
        apply("uint8_input_onnx", wrong)
