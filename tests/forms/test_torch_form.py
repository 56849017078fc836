"""The form "torch": what is saved comes back, and nothing in a folder can run code."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import torch_zoo
from hasten.errors import BadModel, Unsupported
from hasten.plugin import Source, forms, frontends
from hasten.types import Model, Spec, TensorSpec

FORM: Any = forms.get("torch")
CASES = sorted(torch_zoo.cases())


@functools.cache
def imported(name: str) -> Model:
    module, examples = torch_zoo.cases()[name]
    module.example_input_array = examples
    return frontends.get("torch")(Source(module))


def feed(spec: Spec, batch: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(batch)
    shapes = {tensor.name: tensor.bound({"batch": batch}) for tensor in spec.inputs}
    return {
        tensor.name: np.asarray(generator.standard_normal(shapes[tensor.name]), tensor.dtype)
        if tensor.dtype == "float32"
        else generator.integers(0, 2, shapes[tensor.name])
        for tensor in spec.inputs
    }


def call(handle: Any, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    with torch.no_grad():
        return [t.numpy() for t in tree_leaves(handle(*map(torch.from_numpy, arrays.values())))]


@pytest.mark.parametrize("name", CASES)
def test_saved_and_loaded_models_give_identical_outputs(name: str, tmp_path: Path) -> None:
    model = imported(name)
    FORM.save(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.json", "tensors.safetensors"]
    loaded = FORM.load(tmp_path, model.spec)
    for batch in (2, 3):
        arrays = feed(model.spec, batch)
        outputs = call(loaded, arrays)
        assert len(outputs) == len(model.spec.outputs)
        for expected, found, spec in zip(
            call(model.handle, arrays), outputs, model.spec.outputs, strict=True
        ):
            np.testing.assert_array_equal(expected, found)
            assert found.shape == spec.bound({"batch": batch})
    assert FORM.traits(loaded) == FORM.traits(model.handle)
    assert FORM.size(loaded) == FORM.size(model.handle)


def test_a_fresh_process_gives_identical_outputs(tmp_path: Path) -> None:
    names = ["skip", "reader", "encoder"]
    for name in names:
        model = imported(name)
        (tmp_path / name).mkdir()
        FORM.save(model, tmp_path / name)
        (tmp_path / f"{name}.json").write_text(json.dumps(model.spec.to_json()))
        for batch in (2, 5):
            arrays = feed(model.spec, batch)
            np.savez(tmp_path / f"{name}{batch}.npz", *arrays.values())
            np.savez(tmp_path / f"{name}{batch}.expected.npz", *call(model.handle, arrays))
    script = """
import json, sys
import numpy as np, torch
from pathlib import Path
from torch.utils._pytree import tree_leaves
from hasten.plugin import forms
from hasten.types import Spec
root = Path(sys.argv[1])
for name in sys.argv[2:]:
    spec = Spec.from_json(json.loads((root / f"{name}.json").read_text()))
    handle = forms.get("torch").load(root / name, spec)
    for batch in (2, 5):
        inputs = np.load(root / f"{name}{batch}.npz")
        expected = np.load(root / f"{name}{batch}.expected.npz")
        with torch.no_grad():
            found = tree_leaves(handle(*(torch.from_numpy(inputs[k]) for k in inputs.files)))
        for key, tensor in zip(expected.files, found, strict=True):
            np.testing.assert_array_equal(expected[key], tensor.numpy())
print("equal")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *names], capture_output=True, text=True
    )
    assert done.stdout.strip() == "equal", done.stderr


def test_traits_come_from_the_operators() -> None:
    wanted = {
        "skip": {"convolution"},
        "reader": {"recurrent"},
        "encoder": {"attention"},
        "handmade": {"attention"},
        "branches": {"control-flow"},
    }
    assert {name: FORM.traits(imported(name).handle) for name in wanted} == wanted


def test_traits_of_a_module_that_was_never_exported() -> None:
    attention = nn.Sequential(nn.Conv1d(1, 1, 1), nn.MultiheadAttention(4, 1))
    assert FORM.traits(attention) == {"convolution", "attention"}


def test_size_counts_shared_weights_once_and_every_kind_of_layer() -> None:
    assert FORM.size(imported("two inputs").handle) == (6 * 3 + 3 + 4 * 3, 6 * 3 + 4 * 3)
    tokens, length = imported("reader"), 7
    cells = [(16 + 24) * 96, (48 + 24) * 96]
    assert FORM.size(tokens.handle)[1] == length * 2 * sum(cells) + 48 * 4
    attention = imported("handmade")
    assert FORM.size(attention.handle)[1] == 5 * 8 * 24 + 2 * 5 * 5 * 8


def test_operators_are_those_of_the_exported_graph() -> None:
    counts = FORM.operators(imported("skip").handle)
    assert counts["aten.conv2d.default"] == 3
    assert FORM.operators(nn.Linear(2, 2)) == {}  # it was never exported


def test_layers_are_the_float_outputs_of_what_multiplies() -> None:
    model = imported("skip")
    arrays = feed(model.spec, 2)
    layers = FORM.layers(model.handle, arrays)
    assert list(layers) == ["conv2d", "conv2d_1", "conv2d_2", "linear"]
    np.testing.assert_array_equal(layers["linear"], call(model.handle, arrays)[0])
    with torch.no_grad():
        stem = model.handle.stem(torch.from_numpy(arrays["image"]))
    np.testing.assert_array_equal(layers["conv2d"], stem.numpy())
    assert FORM.layers(torch_zoo.skip(), arrays) == {}


def test_bounds_are_the_rows_of_the_tables() -> None:
    assert FORM.bounds(imported("encoder").handle) == {"tokens": 50}
    assert FORM.bounds(imported("skip").handle) == {}


def test_tensors_are_kept_once_dense_and_in_every_type(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            base = torch.randn(6, 4)
            self.left, self.right = nn.Parameter(base), nn.Parameter(base)
            self.turned = nn.Parameter(base.t())
            self.register_buffer("part", base[1:3], persistent=False)
            self.register_buffer("scale", torch.ones(4, dtype=torch.float64))
            self.register_buffer("nothing", torch.zeros(0, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x @ self.turned + (x @ self.left.t()) - x @ self.right.t()
            return (
                y.double() * self.scale.sum() + torch.cat([self.part, self.nothing]).sum()
            ).float()

    spec = Spec((TensorSpec("x", "float32", ("batch", 4)),), ())
    model = Model("torch", Odd().eval(), spec)
    FORM.save(model, tmp_path)
    from safetensors import safe_open

    with safe_open(tmp_path / "tensors.safetensors", "pt") as file:
        shapes = {name: tuple(file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118
    assert shapes == {
        "turned": (4, 6), "left": (6, 4), "part": (2, 4), "scale": (4,), "nothing": (0, 4),
    }  # fmt: skip
    arrays = feed(model.spec, 3)
    loaded = FORM.load(tmp_path, model.spec)
    np.testing.assert_allclose(call(model.handle, arrays)[0], call(loaded, arrays)[0], 1e-5)


def test_a_loaded_model_can_be_exported_again_with_its_free_batch(tmp_path: Path) -> None:
    model = imported("encoder")
    FORM.save(model, tmp_path)
    loaded = FORM.load(tmp_path, model.spec)
    program = FORM.export(loaded, model.spec)
    assert FORM.export(loaded, model.spec) is program
    arrays = feed(model.spec, 4)
    again = call(program.module(check_guards=False), arrays)
    for expected, found in zip(call(model.handle, arrays), again, strict=True):
        np.testing.assert_array_equal(expected, found)


def test_another_specification_is_exported_anew(tmp_path: Path) -> None:
    model = imported("skip")
    fixed = Spec((TensorSpec("image", "float32", (1, 3, 16, 16)),), model.spec.outputs)
    program = FORM.export(model.handle, fixed)
    assert not program.range_constraints
    assert FORM.export(model.handle, model.spec).range_constraints


def test_a_model_that_cannot_be_exported_cannot_be_saved(tmp_path: Path) -> None:
    spec = Spec((TensorSpec("x", "float32", ("batch", 3)),), ())
    with pytest.raises(Unsupported, match=r"torch\.export cannot capture the model: Could not"):
        FORM.save(Model("torch", torch_zoo.DataDependent().eval(), spec), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_operator_from_outside_pytorch_cannot_be_saved(tmp_path: Path) -> None:
    @torch.library.custom_op("hasten_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    twice.register_fake(torch.empty_like)

    class Custom(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return twice(x)

    spec = Spec((TensorSpec("x", "float32", ("batch", 3)),), ())
    with pytest.raises(Unsupported, match="hasten_test::twice"):
        FORM.save(Model("torch", Custom(), spec), tmp_path)


# --- folders that were changed -------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FORM.save(imported("handmade"), tmp_path)
    return tmp_path


def doctor(folder: Path, change: Any) -> None:
    document = json.loads((folder / "graph.json").read_text())
    change(document)
    (folder / "graph.json").write_text(json.dumps(document))


SPEC = Spec((TensorSpec("x", "float32", ("batch", 5, 8)),), ())


@pytest.mark.parametrize(
    "name",
    [
        "aten::save.default",  # pickles a value into a file
        "aten::from_file.default",  # maps, and may create, a file
        "aten::set_grad_enabled.default",
        "aten::linear.__class__",
        "aten::linear",
        "prim::Print.default",
        "higher_order::call_torchbind.default",
        "higher_order::run_const_graph.default",
        "operator.attrgetter",
        "torch.load",
        "torch.hub.load",
        "torch.os.system",
        "os.system",
        "builtins.eval",
    ],
)
def test_a_graph_that_calls_anything_else_is_refused(folder: Path, name: str) -> None:
    def change(document: Any) -> None:
        call = next(node for node in document["graph"]["nodes"] if "call" in node)
        call["call"] = name

    doctor(folder, change)
    with pytest.raises(BadModel, match=r"which no graph may call.*Make it again"):
        FORM.load(folder, SPEC)


def rename_input(document: Any, name: str) -> None:
    text = json.dumps(document["graph"]).replace('"x"', json.dumps(name))
    document["graph"] = json.loads(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: rename_input(d, "x, y=print('ran')"),
        lambda d: rename_input(d, "x):\n  print('ran')\ndef f(self"),
        lambda d: rename_input(d, "lambda"),
        lambda d: d["graph"]["nodes"][-1].update(name="a = print('ran')"),
        lambda d: d["graph"]["nodes"][-1].update(kwargs={"a=print('ran'), b": 1}),
        lambda d: d["graph"]["nodes"][-1].update(args=[{"dtype": "load"}]),
        lambda d: d["graph"]["nodes"][-1].update(args=[{"object": "x"}]),
        lambda d: d["graph"]["nodes"][-1].update(args=[{"node": "nowhere"}]),
        lambda d: d["graph"]["nodes"][0].update(tensor="nowhere"),
        lambda d: d["graph"].pop("outputs"),
        lambda d: d.update(version=99),
        lambda d: d.pop("torch"),
    ],
)
def test_a_graph_that_is_no_graph_is_refused(
    folder: Path, change: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    doctor(folder, change)
    with pytest.raises(BadModel, match=r"Cannot load the PyTorch graph in .* Make it again"):
        FORM.load(folder, SPEC)
    assert "ran" not in capfd.readouterr().out


def test_odd_tensor_names_do_not_reach_the_source(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    odd = "w = print('ran') #"
    tensors = load_file(folder / "tensors.safetensors")
    save_file({odd if k == "qkv.weight" else k: v for k, v in tensors.items()},
              folder / "tensors.safetensors")  # fmt: skip
    text = (folder / "graph.json").read_text()
    (folder / "graph.json").write_text(text.replace("qkv.weight", odd))
    handle = FORM.load(folder, SPEC)
    assert "print" not in handle.code.replace("p_w___print__ran____", "")
    assert call(handle, {"x": np.zeros((2, 5, 8), np.float32)})[0].shape == (2, 5, 8)


@pytest.mark.parametrize("name", ["graph.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise"])
def test_damaged_files_are_refused(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    raw = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "cut": raw[: len(raw) // 2], "noise": b"\xff" * 99}[damage])
    with pytest.raises(BadModel, match="Make it again from its source model"):
        FORM.load(folder, SPEC)
