"""PyTorch to ONNX: the same numbers at two batch sizes, the specification's names, plain graphs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import torch_zoo
from hasten.errors import Unsupported
from hasten.plugin import Source, converters, forms, frontends
from hasten.types import Arrays, Model, Spec, TensorSpec, Workload

CONVERTER = converters.get("onnx_from_torch")


def imported(name: str) -> Model:
    module, examples = torch_zoo.cases()[name]
    module.example_input_array = examples
    return frontends.get("torch")(Source(module))


def feed(spec: Spec, batch: int) -> Arrays:
    generator = np.random.default_rng(batch)
    return {
        t.name: generator.standard_normal(t.bound({"batch": batch}), np.float32)
        if t.dtype == "float32"
        else generator.integers(1, 2, t.bound({"batch": batch}))
        for t in spec.inputs
    }


def run(proto: onnx.ModelProto, arrays: Arrays) -> list[Any]:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, arrays)


@pytest.mark.parametrize("name", ["skip", "reader", "encoder", "handmade", "two inputs", "mixed"])
def test_numbers_names_and_free_batch_are_kept(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = imported(name)
    made = CONVERTER(model, Workload())
    assert capfd.readouterr() == ("", "")
    proto = made.handle
    onnx.checker.check_model(proto, full_check=True)
    assert [value.name for value in proto.graph.input] == [t.name for t in model.spec.inputs]
    assert [value.name for value in proto.graph.output] == [t.name for t in model.spec.outputs]
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    for batch in (1, 3):
        arrays = feed(model.spec, batch)
        with torch.no_grad():
            wanted = tree_leaves(model.handle(*map(torch.from_numpy, arrays.values())))
        for expected, found in zip(wanted, run(proto, arrays), strict=True):
            np.testing.assert_allclose(found, expected.numpy(), 1e-4, 1e-5)
    assert made.history[-1].use.name == "onnx_from_torch"


def test_layers_stay_whole_and_weights_are_plain(tmp_path: Path) -> None:
    reader = CONVERTER(imported("reader"), Workload()).handle.graph
    kept = {tensor.name for tensor in reader.initializer}
    cells = [node for node in reader.node if node.op_type == "LSTM"]
    assert len(cells) == 2
    for cell in cells:
        assert set(cell.input[1:4]) <= kept, "quantisers want weights as initializers"
    skip = Counter(n.op_type for n in CONVERTER(imported("skip"), Workload()).handle.graph.node)
    assert (skip["Conv"], skip["BatchNormalization"]) == (3, 0)
    encoder = CONVERTER(imported("encoder"), Workload()).handle.graph
    assert {"LayerNormalization", "Gelu", "Softmax"} <= {node.op_type for node in encoder.node}


def test_a_model_read_back_from_disk_converts_the_same(tmp_path: Path) -> None:
    model = imported("encoder")
    form: Any = forms.get("torch")
    form.save(model, tmp_path)
    loaded = Model("torch", form.load(tmp_path, model.spec), model.spec)
    arrays = feed(model.spec, 3)
    direct = run(CONVERTER(model, Workload()).handle, arrays)
    again = run(CONVERTER(loaded, Workload()).handle, arrays)
    for expected, found in zip(direct, again, strict=True):
        np.testing.assert_allclose(found, expected, 1e-6, 1e-7)


def test_nothing_of_this_machine_is_written_into_the_file() -> None:
    for name in ("skip", "encoder"):
        proto = CONVERTER(imported(name), Workload()).handle
        assert b".py" not in proto.SerializeToString()


def test_other_free_dimensions_keep_their_names() -> None:
    class Grow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, x], 1)

    free = TensorSpec("x", "float32", ("batch", "length"))
    model = frontends.get("torch")(Source(Grow(), examples=(free,)))
    graph = CONVERTER(model, Workload()).handle.graph
    dims = [
        [d.dim_param for d in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)
    ]
    assert dims == [["batch", "length"], ["batch", "2*length"]]


def test_what_has_no_translation_is_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.erfinv(x)

    x = TensorSpec("x", "float32", ("batch", 3))
    model = frontends.get("torch")(Source(Odd(), examples=(x,)))
    with pytest.raises(Unsupported, match=r"Cannot convert the model to ONNX: .*erf_inv.*PyTorch"):
        CONVERTER(model, Workload())
