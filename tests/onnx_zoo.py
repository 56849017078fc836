"""Small ONNX models for tests, built node by node, and what NumPy needs to check them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hasten.plugin import Source, engines, forms, frontends
from hasten.types import Arrays, Model, Use, Workload

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def weight(name: str, *shape: int, seed: int = 0) -> Any:
    """A stored tensor whose products keep their inputs' scale."""
    rng = np.random.default_rng([seed, *shape])
    depth = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
    return numpy_helper.from_array(
        (rng.standard_normal(shape) / np.sqrt(depth)).astype(np.float32), name
    )


def held(values: Any, name: str) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)


def tensor(name: str, shape: Sequence[int | str | None] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def proto(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    stored: Sequence[Any] = (),
    *,
    opset: int = 17,
    ir: int = 8,
    **more: Any,
) -> Any:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(stored))
    imports = [helper.make_opsetid("", opset), *more.pop("imports", ())]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir, **more)


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), name or outputs, **attributes)


def constants(model: Any) -> Any:
    """The same model with its weights in ``Constant`` nodes, as PaddlePaddle exports them."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    first = [helper.make_node("Constant", [], [t.name], value=t) for t in graph.initializer]
    rest = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.node.extend([*first, *rest])
    return made


def cnn(opset: int = 17, batch: int | str = "batch", softmax: bool = True) -> Any:
    """Convolution with batch normalisation, depthwise convolution, pooling, classifier."""
    body = [
        node("Conv", "x w1", "c1", "stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", "c1 gamma beta mean var", "n1"),
        node("Relu", "n1", "r1"),
        node("Conv", "r1 w2 b2", "c2", "depthwise", pads=[1, 1, 1, 1], group=8),
        node("Relu", "c2", "r2"),
        node("Conv", "r2 w3", "c3", "pointwise"),
        node("Add", "c3 r1", "s"),
        node("GlobalAveragePool", "s", "p"),
        node("Flatten", "p", "f"),
        node("MatMul", "f w4", "m", "head"),
        node("Add", "m b4", "z", "bias"),
    ]
    if softmax:
        body.append(node("Softmax", "z", "y", axis=1))
    rng = np.random.default_rng(7)
    stored = [
        weight("w1", 8, 3, 3, 3),
        *(held(rng.uniform(0.5, 1.5, 8).astype(np.float32), n) for n in ("gamma", "mean", "var")),
        held(rng.standard_normal(8).astype(np.float32), "beta"),
        weight("w2", 8, 1, 3, 3),
        held(np.zeros(8, np.float32), "b2"),
        weight("w3", 8, 8, 1, 1),
        weight("w4", 8, 5),
        held(np.linspace(-1, 1, 5, dtype=np.float32), "b4"),
    ]
    given = "y" if softmax else "z"
    outputs = [tensor(given, [batch, 5])]
    return proto(body, [tensor("x", [batch, 3, 16, 16])], outputs, stored, opset=opset)


def transformer(length: int = 6, opset: int = 17) -> Any:
    """One attention block over integer tokens, and a classifier of the mean state."""
    body = [node("Gather", "table ids", "e")]
    for part in ("q", "k", "v"):
        body += [
            node("MatMul", f"e w{part}", f"{part}0", f"{part}_proj"),
            node("Reshape", f"{part}0 split", f"{part}1"),
            node("Transpose", f"{part}1", part, perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]),
        ]
    body += [
        node("MatMul", "q k", "scores"),
        node("Mul", "scores eighth", "scaled"),
        node("Softmax", "scaled", "attention", axis=3),
        node("MatMul", "attention v", "mixed"),
        node("Transpose", "mixed", "t", perm=[0, 2, 1, 3]),
        node("Reshape", "t joined", "j"),
        node("MatMul", "j wo", "o0", "out_proj"),
        node("Add", "o0 bo", "o"),
        node("Add", "o e", "states"),
        node("ReduceMean", "states", "pooled", axes=[1], keepdims=0),
        node("Gemm", "pooled wc bc", "y", "head", transB=1),
    ]
    stored = [
        weight("table", 50, 32, seed=3),
        *(weight(f"w{part}", 32, 32, seed=i) for i, part in enumerate("qkvo")),
        held(np.array([0, 0, 4, 8]), "split"),
        held(np.array([0, 0, 32]), "joined"),
        held(np.float32(8**-0.5), "eighth"),
        held(np.full(32, 0.1, np.float32), "bo"),
        weight("wc", 4, 32),
        held(np.zeros((1, 4), np.float32), "bc"),
    ]
    inputs = [tensor("ids", ["batch", length], INT64)]
    return proto(body, inputs, [tensor("y", ["batch", 4])], stored, opset=opset)


def lstm(steps: int = 5) -> Any:
    """An LSTM over ``(steps, batch, 6)`` and a classifier of its last state."""
    body = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "W", "R", "B"], ["", "h"], "cell", hidden_size=16),
        node("Squeeze", "h zero", "s"),
        node("MatMul", "s wc", "y", "head"),
    ]
    stored = [
        weight("W", 1, 64, 6),
        weight("R", 1, 64, 16),
        held(np.zeros((1, 128), np.float32), "B"),
        held(np.array([0]), "zero"),
        weight("wc", 16, 4),
    ]
    inputs = [tensor("x", ["batch", steps, 6])]
    return proto(body, inputs, [tensor("y", ["batch", 4])], stored)


def branches() -> Any:
    """``x @ a`` or ``x @ b``, chosen by a third input; the weights live in the branches."""

    def branch(name: str, seed: int) -> Any:
        made = weight(f"w_{name}", 4, 4, seed=seed)
        body = [helper.make_node("MatMul", ["x", f"w_{name}"], [f"y_{name}"])]
        return helper.make_graph(body, name, [], [tensor(f"y_{name}", None)], [made])

    body = [
        helper.make_node(
            "If", ["flag"], ["y"], then_branch=branch("a", 1), else_branch=branch("b", 2)
        )
    ]
    inputs = [tensor("x", ["batch", 4]), tensor("flag", [], TensorProto.BOOL)]
    return proto(body, inputs, [tensor("y", ["batch", 4])])


def loaded(model: Any) -> Model:
    """The model as the front end gives it, with its traits."""
    made = frontends.get("onnx")(Source(model))
    return replace(made, traits=forms.get("onnx").traits(made.handle))


def feed(model: Model, count: int, seed: int = 0) -> Arrays:
    """Random inputs ``(count, ...)``."""
    rng = np.random.default_rng(seed)
    bounds = forms.get("onnx").bounds(model.handle)
    made = {}
    for spec in model.spec.inputs:
        shape = (count, *spec.shape[1:]) if spec.shape else ()
        if spec.dtype == "float32":
            made[spec.name] = rng.standard_normal(shape, dtype=np.float32)
        else:
            made[spec.name] = rng.integers(0, bounds.get(spec.name, 2), shape).astype(spec.dtype)
    return made


def run(model: Model, arrays: Arrays, **workload: Any) -> Arrays:
    """The outputs of one call on ONNX Runtime."""
    batch = max((len(array) for array in arrays.values() if array.ndim), default=1)
    engine = engines.get("onnxruntime")
    with engine(model, Workload(batch, **workload), Use("onnxruntime")) as runner:
        return {k: v.copy() for k, v in runner.run(runner.bind(arrays)).items()}


def decibel(expected: np.ndarray, found: np.ndarray) -> float:
    """SQNR."""
    wanted = expected.astype(np.float64)
    return float(10 * np.log10(np.sum(wanted**2) / max(np.sum((wanted - found) ** 2), 1e-30)))
