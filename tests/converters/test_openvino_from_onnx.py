"""ONNX to OpenVINO: numerics at two batch sizes, names, control flow, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime as ort
from onnx import TensorProto, checker, helper, numpy_helper

from hasten.converters import openvino_from_onnx
from hasten.errors import Unsupported
from hasten.plugin import converters, engines, forms
from hasten.types import Arrays, Model, Spec, TensorSpec, Use, Workload

CONVERT = converters.get("openvino_from_onnx")
RNG = np.random.default_rng(0)


def weight(name: str, *shape: int) -> Any:
    values = RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(values.astype(np.float32), name)


def model_of(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any]) -> Model:
    """A checked ONNX model; inputs and outputs are ``(name, dtype, shape)``."""
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
    sides = [
        [helper.make_tensor_value_info(name, kinds[dtype], shape) for name, dtype, shape in side]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *sides, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(proto)
    specs = (tuple(TensorSpec(n, d, tuple(s)) for n, d, s in side) for side in (inputs, outputs))
    return Model("onnx", proto, Spec(*specs))


def cnn() -> Model:
    """Convolutions with BatchNorm to fold, one of them nameless, and an integer output."""
    node = helper.make_node
    norms = [numpy_helper.from_array(RNG.random(6, np.float32) + 0.5, f"n{i}") for i in range(8)]
    nodes = [
        node("Conv", ["x", "w0"], ["a"], name="first", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "n0", "n1", "n2", "n3"], ["b"], name="norm"),
        node("Relu", ["b"], ["c"]),
        node("Conv", ["c", "w1"], ["d"], group=6, pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["d", "n4", "n5", "n6", "n7"], ["e"]),
        node("GlobalAveragePool", ["e"], ["f"]),
        node("Flatten", ["f"], ["g"]),
        node("Gemm", ["g", "w2"], ["y"], name="last", transB=1),
        node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
    ]
    return model_of(
        nodes,
        [("x", "float32", ["batch", 3, 8, 8])],
        [("y", "float32", ["batch", 4]), ("best", "int64", ["batch"])],
        [weight("w0", 6, 3, 3, 3), weight("w1", 6, 1, 3, 3), weight("w2", 4, 6), *norms],
    )


def attention() -> Model:
    """Attention written out, over a free length, with a second input."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["q"], name="query"),
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["q", "t"], ["s"], name="scores"),
        node("Add", ["s", "mask"], ["m"]),
        node("Softmax", ["m"], ["p"], axis=-1),
        node("MatMul", ["p", "x"], ["y"], name="mixed"),
    ]
    return model_of(
        nodes,
        [("x", "float32", ["batch", "length", 8]), ("mask", "float32", ["batch", 1, "length"])],
        [("y", "float32", ["batch", "length", 8])],
        [weight("w", 8, 8)],
    )


def branch() -> Model:
    """Two ways to compute, chosen by an input; one input passes straight through."""
    node, info = helper.make_node, helper.make_tensor_value_info
    ways = [
        helper.make_graph(
            [node(kind, ["x", "w" if kind == "MatMul" else "x"], [f"o{kind}"], name=kind)],
            kind,
            [],
            [info(f"o{kind}", TensorProto.FLOAT, None)],
        )
        for kind in ("MatMul", "Sub")
    ]
    nodes = [
        node("If", ["flag"], ["y"], then_branch=ways[0], else_branch=ways[1]),
        node("Identity", ["x"], ["same"]),
    ]
    return model_of(
        nodes,
        [("x", "float32", ["batch", 4]), ("flag", "bool", [])],
        [("y", "float32", ["batch", 4]), ("same", "float32", ["batch", 4])],
        [weight("w", 4, 4)],
    )


def feeds(model: Model, batch: int, flag: bool = True) -> Arrays:
    sizes = {"batch": batch, "length": 5}
    made: Arrays = {}
    for tensor in model.spec.inputs:
        shape = tensor.bound(sizes)
        made[tensor.name] = (
            np.array(flag) if tensor.dtype == "bool" else RNG.standard_normal(shape, np.float32)
        )
    return made


def compare(model: Model, made: Model, feed: Arrays, batch: int) -> None:
    session = ort.InferenceSession(model.handle.SerializeToString())
    wanted = session.run(None, feed)
    workload = Workload(batch=batch, sizes=(("length", 5),))
    with engines.get("openvino")(made, workload, Use("openvino")) as runner:
        found = runner.run(runner.bind(feed))
    assert list(found) == [tensor.name for tensor in model.spec.outputs]
    for expected, (name, array) in zip(wanted, found.items(), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        assert array.dtype == expected.dtype


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("build", [cnn, attention], ids=["cnn", "attention"])
def test_numerics(build: Any, batch: int) -> None:
    model = build()
    made = CONVERT(model, Workload(batch=batch))
    assert made.form == "openvino"
    compare(model, made, feeds(model, batch), batch)


@pytest.mark.parametrize("flag", [True, False])
def test_branches(flag: bool) -> None:
    model = branch()
    made = CONVERT(model, Workload())
    assert "control-flow" in forms.get("openvino").traits(made.handle)
    compare(model, made, feeds(model, 2, flag), 2)


def picky() -> Model:
    """A convolution behind a branch of unknown rank: OpenVINO reads it where shapes are known."""
    node, info = helper.make_node, helper.make_tensor_value_info
    ways = [
        helper.make_graph([way], way.output[0], [], [info(way.output[0], TensorProto.FLOAT, None)])
        for way in (
            node("Unsqueeze", ["x", "one"], ["three"]),
            node("Identity", ["x"], ["two"]),
        )
    ]
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "last"], ["size"]),
        node("Equal", ["size", "five"], ["flat"]),
        node("If", ["flat"], ["z"], then_branch=ways[0], else_branch=ways[1]),
        node("Conv", ["z", "w"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array(1, np.int64), "last"),
        numpy_helper.from_array(np.array(5, np.int64), "five"),
    ]
    return model_of(
        nodes,
        [("x", "float32", ["batch", "length"])],
        [("y", "float32", ["batch", 2, "out"])],
        [weight("w", 2, 1, 3), *constants],
    )


def test_a_graph_that_needs_known_shapes() -> None:
    model = picky()
    with pytest.raises(RuntimeError, match="rank has to be known"):
        openvino_from_onnx._read(model.handle)
    made = CONVERT(model, Workload(sizes=(("length", 5),)))
    for batch in (1, 3):
        compare(model, made, feeds(model, batch), batch)


def test_names_and_free_dimensions_are_kept() -> None:
    model = attention()
    handle = CONVERT(model, Workload()).handle
    assert [port.any_name for port in handle.inputs] == ["x", "mask"]
    assert [port.any_name for port in handle.outputs] == ["y"]
    assert str(handle.inputs[0].partial_shape) == "[?,?,8]"
    assert str(handle.inputs[1].partial_shape) == "[?,1,?]"


def test_a_spec_may_fix_what_the_file_leaves_free() -> None:
    model = attention()
    fixed = tuple(
        TensorSpec(t.name, t.dtype, tuple(7 if d == "length" else d for d in t.shape))
        for t in model.spec.inputs
    )
    handle = CONVERT(
        Model("onnx", model.handle, Spec(fixed, model.spec.outputs)), Workload()
    ).handle
    assert str(handle.inputs[0].partial_shape) == "[?,7,8]"


def layer_names(model: Model) -> list[str]:
    form = forms.get("openvino")
    return [node.friendly_name for node in form.layer_nodes(CONVERT(model, Workload()).handle)]


def test_batchnorm_is_folded_and_layer_names_last() -> None:
    model = cnn()
    names = layer_names(model)
    kinds = {n.get_type_name() for n in CONVERT(model, Workload()).handle.get_ops()}
    assert "BatchNormInference" not in kinds
    assert len(set(names)) == 3
    assert "first" in names[0]
    assert "last" in names[2]
    for _ in range(2):
        layer_names(attention())  # counts up the numbers that OpenVINO gives to nameless nodes
        assert layer_names(model) == names


def test_an_operator_that_openvino_lacks_is_named() -> None:
    shape = ["batch", 4]
    nodes = [helper.make_node("Melt", ["x"], ["y"], domain="made.up")]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", TensorProto.FLOAT, shape)], [info("y", TensorProto.FLOAT, shape)]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("made.up", 1)]
    proto = helper.make_model(graph, opset_imports=opsets)
    spec = Spec(
        (TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 4)),)
    )
    with pytest.raises(Unsupported, match=r"Melt.*Use another engine"):
        CONVERT(Model("onnx", proto, spec), Workload())


def test_a_model_too_big_for_one_message_goes_through_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino_from_onnx, "_MESSAGE_BYTES", 10)
    model = cnn()
    before = model.handle.SerializeToString()
    made = CONVERT(model, Workload())
    compare(model, made, feeds(model, 2), 2)
    assert model.handle.SerializeToString() == before


def test_it_can_be_kept(tmp_path: Path) -> None:
    model = cnn()
    made, form = CONVERT(model, Workload()), forms.get("openvino")
    form.save(made, tmp_path)
    read = Model("openvino", form.load(tmp_path, made.spec), made.spec)
    compare(model, read, feeds(model, 2), 2)


@pytest.mark.parametrize(("axis", "channels"), [(1, 32), (2, 6)])
def test_a_scale_after_a_reduction_is_right(axis: int, channels: int) -> None:
    """OpenVINO itself gets these wrong (2026.4): see ``_keep_reduced``."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["m"], axes=[axis], keepdims=0),
        helper.make_node("Mul", ["m", "scale"], ["y"]),
    ]
    scale = numpy_helper.from_array(RNG.random((1, channels), np.float32) + 1, "scale")
    shape = ["batch", 6, 32]
    model = model_of(
        nodes, [("x", "float32", shape)], [("y", "float32", ["batch", channels])], [scale]
    )
    made = CONVERT(model, Workload())
    for batch in (1, 64):
        compare(model, made, feeds(model, batch), batch)
