"""The ONNX front end: what it reads, how it names dimensions, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_zoo as zoo
from hasten.errors import BadInput, BadModel, UnknownName, Unsupported
from hasten.frontends._onnx_dims import name_dimensions
from hasten.plugin import Source, forms, frontends
from hasten.types import Model, TensorSpec
from onnx_zoo import held, node, proto, tensor, weight


def load(what: Any, **more: Any) -> Model:
    return frontends.get("onnx")(Source(what, **more))


def shapes(model: Model) -> list[tuple[int | str, ...]]:
    return [spec.shape for spec in (*model.spec.inputs, *model.spec.outputs)]


# --- reading -------------------------------------------------------------------------------------


def test_recognises_files_and_live_models() -> None:
    front = frontends.get("onnx")
    assert front.sniff("a/b.onnx")
    assert front.sniff(Path("B.ONNX"))
    assert front.sniff(zoo.cnn())
    assert not front.sniff("package.module:factory")
    assert not front.sniff("model.pt2")
    assert not front.sniff(object())


def test_a_file_gives_the_model_with_its_spec(tmp_path: Path) -> None:
    path = tmp_path / "cnn.onnx"
    onnx.save(zoo.cnn(), path)
    model = load(str(path))
    assert model.form == "onnx"
    assert model.spec.inputs == (TensorSpec("x", "float32", ("batch", 3, 16, 16)),)
    assert model.spec.outputs == (TensorSpec("y", "float32", ("batch", 5)),)
    assert model.spec.task == "classification"
    assert model.history[0].use.name == "onnx"


def test_a_live_model_stays_as_it_was() -> None:
    given = zoo.cnn(batch="N")
    before = given.SerializeToString()
    model = load(given)
    assert given.SerializeToString() == before
    assert shapes(model)[0][0] == "batch"


def test_external_data_comes_inside(tmp_path: Path) -> None:
    path = tmp_path / "cnn.onnx"
    onnx.save(zoo.cnn(), path, save_as_external_data=True, location="cnn.data", size_threshold=0)
    arrays = {"x": np.ones((2, 3, 16, 16), np.float32)}
    expected = zoo.run(load(zoo.cnn()), arrays)["y"]
    model = load(path)
    (tmp_path / "cnn.data").unlink()
    assert np.array_equal(zoo.run(model, arrays)["y"], expected)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
def test_old_and_new_operator_sets_compute_alike(opset: int) -> None:
    arrays = {"x": np.random.default_rng(0).standard_normal((2, 3, 16, 16), dtype=np.float32)}
    expected = zoo.run(load(zoo.cnn(17)), arrays)["y"]
    assert np.allclose(zoo.run(load(zoo.cnn(opset)), arrays)["y"], expected, atol=1e-6)


def test_weights_listed_as_inputs_are_no_inputs() -> None:
    given = zoo.cnn(9)
    given.ir_version = 3
    given.graph.input.extend(
        tensor(stored.name, list(stored.dims)) for stored in given.graph.initializer
    )
    model = load(given)
    assert [spec.name for spec in model.spec.inputs] == ["x"]
    zoo.run(model, {"x": np.zeros((1, 3, 16, 16), np.float32)})


def test_every_node_gets_a_name_of_its_own() -> None:
    given = zoo.constants(zoo.cnn())
    given.graph.node[-1].name = "head"
    names = [each.name for each in load(given).handle.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert {"stem", "depthwise", "head", "head_0", "Constant_0"} <= set(names)


def test_stale_shape_annotations_do_no_harm() -> None:
    given = zoo.cnn()
    given.graph.value_info.append(tensor("c1", [7, 7], TensorProto.FLOAT))
    model = load(given)
    assert not model.handle.graph.value_info
    assert zoo.run(model, {"x": np.zeros((2, 3, 16, 16), np.float32)})["y"].shape == (2, 5)


def test_functions_are_inlined() -> None:
    twice = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    given = proto(
        [helper.make_node("Twice", ["x"], ["y"], domain="local")],
        [tensor("x", ["batch", 3])],
        [tensor("y", ["batch", 3])],
        imports=[helper.make_opsetid("local", 1)],
        functions=[twice],
    )
    model = load(given)
    assert [each.op_type for each in model.handle.graph.node] == ["Add"]
    assert not model.handle.functions


def test_a_newer_format_version_than_needed_is_lowered() -> None:
    given = zoo.cnn()
    given.ir_version = onnx.IR_VERSION
    model = load(given)
    assert model.handle.ir_version <= 10
    zoo.run(model, {"x": np.zeros((1, 3, 16, 16), np.float32)})


def test_half_precision_and_integer_inputs_keep_their_types() -> None:
    given = proto(
        [
            helper.make_node("Cast", ["ids"], ["f"], to=TensorProto.FLOAT16),
            helper.make_node("Add", ["x", "f"], ["y"]),
        ],
        [tensor("x", ["batch", 4], TensorProto.FLOAT16), tensor("ids", ["batch", 4], zoo.INT64)],
        [tensor("y", None, TensorProto.FLOAT16)],
    )
    model = load(given)
    assert [spec.dtype for spec in model.spec.inputs] == ["float16", "int64"]
    found = zoo.run(model, {"x": np.ones((2, 4), np.float16), "ids": np.ones((2, 4), np.int64)})
    assert found["y"].dtype == np.float16
    assert model.spec.outputs[0].shape == ("batch", 4)


def test_branches_are_read() -> None:
    model = load(zoo.branches())
    x = np.ones((2, 4), np.float32)
    both = [zoo.run(model, {"x": x, "flag": np.array(flag)})["y"] for flag in (True, False)]
    assert not np.allclose(*both)


# --- dimensions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"x": ("N", 3, "H", "W")}, {"x": ("batch", 3, "H", "W")}),
        ({"x": ("", 3, "", "")}, {"x": ("batch", 3, "x_2", "x_3")}),
        ({"x:0": ("", "")}, {"x:0": ("batch", "x_0_1")}),
        ({"x": (1, 3)}, {"x": (1, 3)}),
        ({"x": ()}, {"x": ()}),
        (
            {"a": ("unk__1", 3), "b": ("unk__2", 4)},
            {"a": ("batch", 3), "b": ("batch", 4)},
        ),
        (
            {"ids": ("n", "seq"), "mask": ("n", "seq")},
            {"ids": ("batch", "seq"), "mask": ("batch", "seq")},
        ),
        (
            {"x": ("batch", "sequence"), "state": (2, "batch", 8), "rate": ()},
            {"x": ("batch", "sequence"), "state": (2, "batch", 8), "rate": ()},
        ),
        ({"x": ("D", 3, "D", "D")}, {"x": ("batch", 3, "x_2", "x_3")}),
        ({"x": ("sequence_length", 8)}, {"x": ("sequence_length", 8)}),
        (
            {"nodes": ("atoms", 8), "links": ("bonds", 2)},
            {"nodes": ("batch", 8), "links": ("bonds", 2)},
        ),
        ({"x": ("p2o.DynamicDimension.0", 3)}, {"x": ("batch", 3)}),
        (
            {"x": ("N", "p2o.DynamicDimension.1"), "y": ("N", "unk__3"), "z": ("N", "unk__3")},
            {"x": ("batch", "x_1"), "y": ("batch", "unk__3"), "z": ("batch", "unk__3")},
        ),
    ],
)
def test_names_of_free_dimensions(declared: dict[str, Any], named: dict[str, Any]) -> None:
    assert name_dimensions(declared) == named


@pytest.mark.parametrize("written", ["", "?", "-1", "0", "None"])
def test_dimensions_that_mean_unknown_are_free(written: str) -> None:
    given = zoo.cnn()
    dim = given.graph.input[0].type.tensor_type.shape.dim[0]
    if written.lstrip("-").isdigit():
        dim.dim_value = int(written)
    else:
        dim.dim_param = written
    assert shapes(load(given)) == [("batch", 3, 16, 16), ("batch", 5)]


def reshaped(target: list[int], *output: int | str | None) -> Any:
    return proto(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [tensor("x", ["batch", 4, 6])],
        [tensor("y", list(output))],
        [held(np.array(target), "shape")],
    )


@pytest.mark.parametrize(
    ("target", "declared", "shape"),
    [
        ([-1, 24], ["N", 24], ("batch", 24)),
        ([-1, 24], [1, 24], ("batch", 24)),
        ([-1, 6], ["N", 6], ("y_0", 6)),
        ([0, 2, -1], ["N", 2, None], ("batch", 2, 12)),
        ([4, -1, 6], [None, None, None], (4, "batch", 6)),
    ],
)
def test_the_batch_is_found_in_outputs(
    target: list[int], declared: list[Any], shape: tuple[Any, ...]
) -> None:
    assert load(reshaped(target, *declared)).spec.outputs[0].shape == shape


def test_an_output_that_inference_cannot_follow_leads_with_the_batch() -> None:
    """ONNX's inference does not know the operators of other domains."""
    body = [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]
    more = {"imports": [helper.make_opsetid("com.microsoft", 1)]}
    for declared in ([1, 4], ["N", 4], [None, 4]):
        model = load(proto(body, [tensor("x", ["batch", 4])], [tensor("y", declared)], **more))
        assert model.spec.outputs[0].shape == ("batch", 4)


def test_shapes_that_the_user_gives_win() -> None:
    example = TensorSpec("x", "float32", (1, 3, 16, 16))
    assert shapes(load(zoo.cnn(), examples=(example,))) == [(1, 3, 16, 16), (1, 5)]
    nameless = TensorSpec("", "float32", (1, 3, 16, 16))
    assert shapes(load(zoo.cnn(), examples=(nameless,))) == [(1, 3, 16, 16), (1, 5)]
    with pytest.raises(UnknownName, match="Unknown input 'z'"):
        load(zoo.cnn(), examples=(TensorSpec("z", "float32", (1,)),))


def test_an_input_without_a_shape_needs_one() -> None:
    given = zoo.cnn()
    given.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(BadModel, match=r"input 'x' declares no shape\. Give one, such as x=batch"):
        load(given)
    example = TensorSpec("x", "float32", ("batch", 3, 16, 16))
    assert load(given, examples=(example,)).spec.batched


# --- the task ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "task"),
    [
        (zoo.cnn(), "classification"),
        (zoo.cnn(softmax=False), "classification"),
        (zoo.transformer(), "classification"),
        (zoo.branches(), ""),
        (reshaped([-1, 24], "N", 24), ""),
    ],
)
def test_task_guess(model: Any, task: str) -> None:
    assert load(model).spec.task == task


def test_a_softmax_spelt_out_is_a_classifier() -> None:
    given = zoo.cnn(13, softmax=False)
    given.graph.output[0].name = "y"
    given.graph.initializer.append(held(np.array([1]), "one"))
    given.graph.node.extend(
        [node("Exp", "z", "e"), node("ReduceSum", "e one", "total"), node("Div", "e total", "y")]
    )
    assert load(given).spec.task == "classification"


# --- what is refused -----------------------------------------------------------------------------


def whole(tmp_path: Path) -> bytes:
    return zoo.cnn().SerializeToString()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty"),
        (b"not a model at all, just some text\n" * 9, "it is not an ONNX file"),
        (b"PK\x03\x04" + bytes(range(256)), "it is not an ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"Git LFS pointer.*git lfs pull"),
        (zoo.cnn().SerializeToString()[:-30], "or only a part of one"),
        (zoo.cnn().SerializeToString()[:-6], "no operators, outputs or operator set"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "no operators, outputs or operator"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(BadModel, match=text) as caught:
        load(path)
    assert "bad.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"there is no such file\. Check the path"):
        load(tmp_path / "none.onnx")
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    with pytest.raises(BadModel, match=r"it is a folder\. Give the \.onnx file"):
        load(folder)


def damaged(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(zoo.cnn(), path, save_as_external_data=True, location="model.data", size_threshold=0)
    return path


def test_missing_or_short_external_data(tmp_path: Path) -> None:
    path = damaged(tmp_path)
    os.truncate(tmp_path / "model.data", 100)
    with pytest.raises(BadModel, match=r"'model\.data' is damaged .*Put the complete file"):
        load(path)
    (tmp_path / "model.data").unlink()
    with pytest.raises(BadModel, match=r"'model\.data' is missing beside it"):
        load(path)
    with pytest.raises(BadModel, match=r"weights are in another file\. Load it with onnx\.load"):
        load(onnx.load(path, load_external_data=False))


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10_000))
    inside = tmp_path / "inside"
    inside.mkdir()
    path = damaged(inside)
    given = onnx.load(path, load_external_data=False)
    for stored in given.graph.initializer:
        for entry in stored.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    path.write_bytes(given.SerializeToString())
    with pytest.raises(BadModel, match=r"'\.\./secret' is damaged \(.*outside"):
        load(path)


def test_unknown_operators_are_named() -> None:
    def odd(op: str, domain: str, **more: Any) -> Any:
        body = [helper.make_node(op, ["x"], ["y"], domain=domain)]
        return proto(body, [tensor("x", ["batch", 3])], [tensor("y", ["batch", 3])], **more)

    custom = odd("Fancy", "my.company", imports=[helper.make_opsetid("my.company", 1)])
    with pytest.raises(Unsupported, match=r"no engine knows its operators my\.company\.Fancy\. "):
        load(custom)
    with pytest.raises(Unsupported, match="no engine knows its operators Erfc"):
        load(odd("Erfc", ""))


def test_a_graph_that_breaks_the_rules() -> None:
    given = zoo.cnn()
    del given.graph.initializer[0]
    with pytest.raises(BadModel, match=r"breaks the ONNX rules \(.*w1"):
        load(given)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (helper.make_tensor_sequence_value_info("y", zoo.FLOAT, None), "'y' is a sequence"),
        (tensor("y", ["batch"], TensorProto.STRING), "values of 'y' are of type string"),
    ],
)
def test_outputs_that_are_no_numbers(value: Any, text: str) -> None:
    op = "SequenceConstruct" if "sequence" in text else "Cast"
    extra = {} if "sequence" in text else {"to": TensorProto.STRING}
    body = [helper.make_node(op, ["x"], ["y"], **extra)]
    with pytest.raises(Unsupported, match=text):
        load(proto(body, [tensor("x", ["batch"])], [value]))


def test_separate_weights_are_refused() -> None:
    with pytest.raises(BadInput, match="it brings its own"):
        load("model.onnx", weights="weights.safetensors")


def test_the_largest_models_skip_the_checker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hasten.frontends._onnx_file.MESSAGE_BYTES", 10)
    monkeypatch.setattr(onnx.checker, "check_model", None)
    assert load(zoo.cnn()).spec.batched


def test_bounds_make_random_inputs_valid() -> None:
    model = load(zoo.transformer())
    assert forms.get("onnx").bounds(model.handle) == {"ids": 50}
    assert weight("w", 2, 3).dims == [2, 3]
