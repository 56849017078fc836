"""The OpenVINO form: what is kept, what is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")

from hasten.errors import BadModel
from hasten.plugin import forms
from hasten.types import Model
from openvino_zoo import cnn, feeds, lstm, transformer

FORM = forms.get("openvino")
MODELS = {"cnn": cnn, "transformer": transformer, "lstm": lstm}


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_computes_the_same(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    FORM.save(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    read = FORM.load(tmp_path, model.spec)
    assert [port.any_name for port in read.inputs] == [t.name for t in model.spec.inputs]
    assert [port.any_name for port in read.outputs] == [t.name for t in model.spec.outputs]
    assert FORM.traits(read) == model.traits
    assert FORM.size(read) == FORM.size(model.handle)
    feed = feeds(model, 3)
    before, after = FORM.layers(model.handle, feed), FORM.layers(read, feed)
    assert list(before) == list(after)
    for layer in before:
        np.testing.assert_array_equal(before[layer], after[layer])


def test_weights_stay_in_fp32(tmp_path: Path) -> None:
    model = cnn()
    FORM.save(model, tmp_path)
    assert "f16" not in (tmp_path / "model.xml").read_text()


def test_saving_names_no_place_on_this_machine(tmp_path: Path) -> None:
    FORM.save(cnn(), tmp_path)
    assert str(tmp_path) not in (tmp_path / "model.xml").read_text()


def test_traits() -> None:
    assert cnn().traits == {"convolution"}
    assert transformer().traits == {"attention"}
    assert lstm().traits == {"recurrent"}


def test_attention_written_out_is_attention() -> None:
    import openvino
    from openvino import opset13 as op

    x = op.parameter([-1, 4, 8], np.float32)
    weight = op.softmax(op.matmul(x, x, False, True), 2)
    assert FORM.traits(openvino.Model([op.matmul(weight, x, False, False)], [x])) == {"attention"}
    table = op.constant(np.ones((4, 3), np.float32))
    assert not FORM.traits(openvino.Model([op.matmul(weight, table, False, False)], [x]))


def test_control_flow_is_told_and_looked_into() -> None:
    import openvino
    from openvino import opset13 as op

    x, choice = op.parameter([-1, 3, 8, 8], np.float32), op.parameter([], np.bool_)
    bodies = []
    for kernel in (1, 3):
        inner = op.parameter([-1, 3, 8, 8], np.float32)
        weight = op.constant(np.ones((3, 3, kernel, kernel), np.float32))
        pad = [kernel // 2] * 2
        made = op.convolution(inner, weight, [1, 1], pad, pad, [1, 1])
        bodies.append(openvino.Model([made], [inner]))
    branch = op.if_op(choice)
    branch.set_then_body(bodies[0])
    branch.set_else_body(bodies[1])
    branch.set_input(x.output(0), bodies[0].get_parameters()[0], bodies[1].get_parameters()[0])
    branch.set_output(bodies[0].get_results()[0], bodies[1].get_results()[0])
    graph = openvino.Model([branch.output(0)], [x, choice])
    assert FORM.traits(graph) == {"control-flow", "convolution"}


def test_size_counts_parameters_and_multiply_adds() -> None:
    parameters, macs = FORM.size(cnn().handle)
    weights = 8 * 3 * 9 + 8 + 8 * 9 + 8 + 12 * 8 + 5 * 12 + 5
    assert parameters == weights
    assert macs == 64 * (8 * 27 + 8 * 9 + 12 * 8) + 5 * 12
    assert FORM.size(lstm().handle)[1] == 2 * 7 * (64 * 6 + 64 * 16) + 4 * 32
    length, heads, width = 6, 4, 8
    attention = heads * length * length * width * 2
    assert FORM.size(transformer().handle)[1] == length * 4 * 32 * 32 + attention + 4 * 32


def test_operators_are_those_that_compute() -> None:
    counts = FORM.operators(cnn().handle)
    assert counts["Convolution"] == 2
    assert not {"Constant", "Parameter", "Result"} & set(counts)


def test_multiply_adds_are_not_told_while_a_shape_is_free() -> None:
    model = cnn()
    assert FORM.multiply_adds(model.handle) == {}
    model.handle.reshape([2, 3, 16, 16])
    assert FORM.multiply_adds(model.handle)["head"] == 2 * 5 * 12


def test_layers_follow_the_graph_and_include_the_bias() -> None:
    model = cnn()
    found = FORM.layers(model.handle, feeds(model, 2))
    assert list(found) == ["stem", "depthwise", "pointwise", "head"]
    assert found["stem"].shape == (2, 8, 8, 8)
    expected = run(model, feeds(model, 2))
    np.testing.assert_allclose(found["head"], expected, rtol=1e-5)


def run(model: Model, feed: dict) -> np.ndarray:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model.handle, "CPU", settings)
    return compiled(list(feed.values()))[0]


def test_asking_for_layers_leaves_the_model_alone() -> None:
    model = cnn()
    FORM.layers(model.handle, feeds(model, 2))
    FORM.size(model.handle)
    assert len(model.handle.outputs) == 1
    assert model.handle.inputs[0].partial_shape[0].is_dynamic


@pytest.mark.parametrize("damage", ["cut", "empty", "missing"])
def test_a_damaged_file_is_named(damage: str, tmp_path: Path) -> None:
    model = cnn()
    FORM.save(model, tmp_path)
    path = tmp_path / "model.xml"
    if damage == "missing":
        path.unlink()
    else:
        path.write_text(path.read_text()[:300] if damage == "cut" else "")
    with pytest.raises(BadModel, match=r"Cannot read the OpenVINO model .*model\.xml"):
        FORM.load(tmp_path, model.spec)
