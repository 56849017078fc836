"""The ONNX form: on disk and back, what it knows of a graph, and its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import onnx_zoo as zoo
from hasten.errors import BadModel, NotInstalled
from hasten.forms import onnx as form_file
from hasten.plugin import engines, forms, techniques
from hasten.types import Model, Use
from onnx_zoo import held, node, proto, tensor, weight

FORM = forms.get("onnx")
IMAGES = {"x": np.random.default_rng(1).standard_normal((3, 3, 16, 16), dtype=np.float32)}


def kept(model: Model, folder: Path) -> Model:
    FORM.save(model, folder)
    return Model("onnx", FORM.load(folder, model.spec), model.spec, model.traits)


# --- on disk -------------------------------------------------------------------------------------


def test_saving_and_loading_keeps_every_bit(tmp_path: Path) -> None:
    model = zoo.loaded(zoo.cnn())
    back = kept(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert back.handle == model.handle
    first = (tmp_path / "model.onnx").read_bytes()
    FORM.save(back, tmp_path)
    assert (tmp_path / "model.onnx").read_bytes() == first


def test_weights_too_large_for_one_message_get_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form_file, "MESSAGE_BYTES", 100)
    model = zoo.loaded(zoo.lstm())
    before = model.handle.SerializeToString(deterministic=True)
    back = kept(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.data", "model.onnx"]
    assert model.handle.SerializeToString(deterministic=True) == before
    (tmp_path / "model.data").unlink()
    arrays = zoo.feed(model, 2)
    assert np.array_equal(zoo.run(back, arrays)["y"], zoo.run(model, arrays)["y"])


def test_a_damaged_store_entry_is_one_clear_line(tmp_path: Path) -> None:
    model = zoo.loaded(zoo.cnn())
    FORM.save(model, tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 50)
    with pytest.raises(BadModel, match=r"Cannot read the stored model .*Make it again\."):
        FORM.load(tmp_path, model.spec)


# --- traits, bounds, size ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "traits"),
    [
        (zoo.cnn(), {"convolution"}),
        (zoo.constants(zoo.cnn()), {"convolution", "constant-weights"}),
        (zoo.transformer(), {"attention"}),
        (zoo.lstm(), {"recurrent"}),
        (zoo.branches(), {"control-flow"}),
    ],
)
def test_traits(model: Any, traits: set[str]) -> None:
    assert FORM.traits(model) == traits


def test_a_softmax_at_the_end_is_no_attention() -> None:
    """A linear layer, a softmax and nothing behind: a classifier."""
    assert "attention" not in FORM.traits(zoo.cnn())


def test_a_loop_is_recurrent_control_flow() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["state", "state"], ["next"]),
        ],
        "body",
        [tensor("i", [], zoo.INT64), tensor("go", [], 9), tensor("state", [2])],
        [tensor("go_on", [], 9), tensor("next", [2])],
    )
    given = proto(
        [helper.make_node("Loop", ["three", "", "x"], ["y"], body=body)],
        [tensor("x", [2])],
        [tensor("y", [2])],
        [held(np.array(3), "three")],
    )
    assert FORM.traits(given) == {"recurrent", "control-flow"}


LOOK_UP = node("Gather", "table i", "y")
ONE_HOT = [node("Unsqueeze", "ids one", "u"), node("Equal", "u range", "e")]


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        ([node("Gather", "table ids", "y")], 50),
        ([node("Gather", "table ids", "y", axis=1)], 32),
        ([node("Cast", "ids", "f", to=1), node("Cast", "f", "i", to=7), LOOK_UP], 50),
        ([node("Unsqueeze", "ids one", "i"), LOOK_UP], 50),
        ([node("OneHot", "ids depth values", "y")], 9),
        ([*ONE_HOT, node("Cast", "e", "y", to=1)], 7),
        ([node("Add", "ids one", "i"), LOOK_UP], None),
        ([node("Cast", "ids", "y", to=1)], None),
        ([node("Gather", "table ids", "y"), node("Gather", "small ids", "b")], 8),
    ],
)
def test_bounds_of_integer_inputs(path: list[Any], bound: int | None) -> None:
    stored = [
        weight("table", 50, 32),
        weight("small", 8, 32),
        held(np.array([1]), "one"),
        held(np.array(9), "depth"),
        held(np.array([0.0, 1.0], np.float32), "values"),
        held(np.arange(7), "range"),
    ]
    given = proto(path, [tensor("ids", ["batch"], zoo.INT64)], [tensor("y", None)], stored)
    assert FORM.bounds(given) == ({} if bound is None else {"ids": bound})


def test_bounds_reach_quantised_tables_and_branches() -> None:
    model = zoo.loaded(zoo.transformer())
    small = techniques.get("int8_qdq")(model, zoo.feed(model, 4), Use("int8_qdq"))
    assert FORM.bounds(small.handle) == {"ids": 50}
    given = zoo.branches()
    branch = given.graph.node[0].attribute[0].g
    branch.node.append(node("Gather", "w_a ids", "g"))
    given.graph.input.append(tensor("ids", [2], zoo.INT64))
    assert FORM.bounds(given) == {"ids": 4}


def test_size_counts_by_hand() -> None:
    convolutions = 8 * 8 * 8 * 27 + 8 * 8 * 8 * 9 + 8 * 8 * 8 * 8
    parameters = 8 * 27 + 4 * 8 + 8 * 9 + 8 + 64 + 40 + 5
    assert FORM.size(zoo.loaded(zoo.cnn()).handle) == (parameters, convolutions + 8 * 5)
    assert FORM.size(zoo.constants(zoo.loaded(zoo.cnn()).handle))[0] == parameters


def test_size_of_products_and_cells() -> None:
    tokens, width = 6, 32
    attention = 2 * 4 * tokens * tokens * 8
    expected = 4 * tokens * width * width + attention + width * 4
    assert FORM.size(zoo.loaded(zoo.transformer()).handle)[1] == expected
    assert FORM.size(zoo.loaded(zoo.lstm()).handle)[1] == 5 * (64 * 6 + 64 * 16) + 16 * 4


def test_size_is_zero_where_a_dimension_stays_free() -> None:
    given = zoo.cnn()
    given.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    parameters, macs = FORM.size(zoo.loaded(given).handle)
    assert parameters > 0
    assert macs == 0


def test_quantising_keeps_the_number_of_parameters() -> None:
    model = zoo.loaded(zoo.cnn())
    clean = techniques.get("graph_cleanup")(model, {}, Use("graph_cleanup"))
    small = techniques.get("int8_qdq")(model, zoo.feed(model, 4), Use("int8_qdq"))
    assert FORM.size(small.handle) == FORM.size(clean.handle)


# --- layers --------------------------------------------------------------------------------------


def test_layers_are_named_after_their_nodes_and_hold_their_outputs() -> None:
    found = FORM.layers(zoo.loaded(zoo.cnn()).handle, IMAGES)
    assert list(found) == ["stem", "depthwise", "pointwise", "head"]
    assert [array.shape for array in found.values()] == [
        (3, 8, 8, 8), (3, 8, 8, 8), (3, 8, 8, 8), (3, 5),
    ]  # fmt: skip
    assert found["depthwise"].min() == 0  # behind its clipping
    assert found["pointwise"].min() < 0


def test_layers_mean_the_same_after_folding() -> None:
    model = zoo.loaded(zoo.cnn())
    clean = techniques.get("graph_cleanup")(model, {}, Use("graph_cleanup"))
    assert "BatchNormalization" not in {n.op_type for n in clean.handle.graph.node}
    before, after = (FORM.layers(m.handle, IMAGES) for m in (model, clean))
    assert list(before) == list(after)
    for name in before:
        assert np.allclose(before[name], after[name], atol=1e-5), name


@pytest.mark.parametrize("name", ["int8_qdq", "int8_nncf_onnx"])
def test_layers_mean_the_same_after_static_quantisation(name: str) -> None:
    model = zoo.loaded(zoo.cnn())
    small = techniques.get(name)(model, zoo.feed(model, 32), Use(name))
    before, after = (FORM.layers(m.handle, IMAGES) for m in (model, small))
    assert list(before) == list(after)
    for layer in before:
        assert zoo.decibel(before[layer], after[layer]) > 15, layer


@pytest.mark.parametrize("build", [zoo.transformer, zoo.lstm])
def test_layers_mean_the_same_after_dynamic_quantisation(build: Any) -> None:
    model = zoo.loaded(build())
    small = techniques.get("int8_dynamic")(model, {}, Use("int8_dynamic"))
    arrays = zoo.feed(model, 3)
    before, after = (FORM.layers(m.handle, arrays) for m in (model, small))
    assert set(before) == set(after)
    for layer in before:
        assert zoo.decibel(before[layer], after[layer]) > 20, layer


def test_layers_need_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(engines), "available", lambda self: iter(()))
    with pytest.raises(NotInstalled, match=r"pip install 'hasten\[onnxruntime\]'"):
        FORM.layers(zoo.loaded(zoo.cnn()).handle, IMAGES)


def test_looking_at_a_graph_does_not_change_it() -> None:
    model = zoo.loaded(zoo.cnn())
    before = onnx.ModelProto()
    before.CopyFrom(model.handle)
    FORM.traits(model.handle), FORM.size(model.handle), FORM.bounds(model.handle)
    FORM.layers(model.handle, IMAGES)
    assert model.handle == before


def test_operators_are_counted_with_their_set() -> None:
    model = zoo.cnn(opset=17)
    counts = FORM.operators(model)
    assert counts["Conv"] == sum(node.op_type == "Conv" for node in model.graph.node)
    assert sum(counts.values()) == len(model.graph.node)
    assert FORM.written_in(model) == "ai.onnx opset 17"
    inside = FORM.operators(zoo.branches())
    assert inside["If"] == 1
    assert len(inside) > 1  # the branches' own operators count
