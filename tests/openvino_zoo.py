"""Small OpenVINO models for tests, with the answers NumPy gives where that is short."""

from __future__ import annotations

from typing import Any

import numpy as np

from hasten.plugin import forms
from hasten.types import Arrays, Model, Spec, TensorSpec


def held(graph: Any, inputs: dict[str, tuple], outputs: dict[str, tuple]) -> Model:
    """A model with its specification and traits; ``{name: (dtype, *shape)}``."""
    specs = [
        tuple(TensorSpec(name, dtype, shape) for name, (dtype, *shape) in side.items())
        for side in (inputs, outputs)
    ]
    for ports, side in zip((graph.inputs, graph.outputs), specs, strict=True):
        for port, tensor in zip(ports, side, strict=True):
            port.set_names({tensor.name})
    specs = [tuple(TensorSpec(t.name, t.dtype, tuple(t.shape)) for t in side) for side in specs]
    return Model("openvino", graph, Spec(*specs), forms.get("openvino").traits(graph))


def _random(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def _named(node: Any, name: str) -> Any:
    node.friendly_name = name
    return node


def cnn() -> Model:
    """Convolution, depthwise and pointwise convolution, pooling, classifier."""
    import openvino
    from openvino import opset13 as op

    image = op.parameter([-1, 3, 16, 16], np.float32)
    one, pads = [1, 1], [1, 1]
    x = _named(op.convolution(image, _random(8, 3, 3, 3), [2, 2], pads, pads, one), "stem")
    x = op.relu(op.add(x, _random(1, 8, 1, 1)))
    x = _named(op.group_convolution(x, _random(8, 1, 1, 3, 3), one, pads, pads, one), "depthwise")
    x = op.relu(op.add(x, _random(1, 8, 1, 1)))
    x = _named(op.convolution(x, _random(12, 8, 1, 1), one, [0, 0], [0, 0], one), "pointwise")
    x = op.reduce_mean(op.relu(x), op.constant([2, 3]), keep_dims=False)
    y = op.add(_named(op.matmul(x, _random(5, 12), False, True), "head"), _random(1, 5))
    graph = openvino.Model([y], [image])
    return held(graph, {"image": ("float32", "batch", 3, 16, 16)}, {"y": ("float32", "batch", 5)})


def transformer(length: int = 6) -> Model:
    """One attention block over integer tokens with a mask; two outputs."""
    import openvino
    from openvino import opset13 as op

    tokens = op.parameter([-1, length], np.int64)
    mask = op.parameter([-1, 1, 1, length], np.float32)
    x = op.gather(op.constant(_random(50, 32)), tokens, op.constant(0))
    heads = []
    for seed, name in enumerate(("query", "key", "value")):
        part = _named(op.matmul(x, _random(32, 32, seed=seed), False, True), name)
        shaped = op.reshape(part, op.constant([0, 0, 4, 8]), special_zero=True)
        heads.append(op.transpose(shaped, op.constant([0, 2, 1, 3])))
    mixed = _named(op.scaled_dot_product_attention(*heads, mask), "attention")
    joined = op.reshape(
        op.transpose(mixed, op.constant([0, 2, 1, 3])), op.constant([0, 0, 32]), special_zero=True
    )
    states = op.add(x, _named(op.matmul(joined, _random(32, 32), False, True), "mix"))
    pooled = op.squeeze(op.reduce_mean(states, op.constant([1]), keep_dims=True), op.constant([1]))
    logits = op.add(_named(op.matmul(pooled, _random(4, 32), False, True), "head"), _random(1, 4))
    return held(
        openvino.Model([logits, states], [tokens, mask]),
        {"tokens": ("int64", "batch", length), "mask": ("float32", "batch", 1, 1, length)},
        {"logits": ("float32", "batch", 4), "states": ("float32", "batch", length, 32)},
    )


def lstm(steps: int = 7) -> Model:
    """One LSTM both ways over ``(batch, steps, 6)``, and a classifier of its outputs' mean."""
    import openvino
    from openvino import opset13 as op

    x = op.parameter([-1, steps, 6], np.float32)
    batch = op.gather(op.shape_of(x), op.constant([0]), op.constant(0))
    sizes = op.concat([batch, op.constant([2]), op.constant([16])], 0)
    zeros = op.broadcast(op.constant(np.float32(0)), sizes)
    lengths = op.broadcast(op.constant(steps), batch)
    weights = [3 * _random(2, 64, 6), 3 * _random(2, 64, 16), _random(2, 64)]
    cell = op.lstm_sequence(x, zeros, zeros, lengths, *weights, 16, "bidirectional")
    turned = op.transpose(_named(cell, "cell").output(0), op.constant([0, 2, 1, 3]))
    both = op.reshape(turned, op.constant([0, 0, 32]), special_zero=True)
    mean = op.squeeze(op.reduce_mean(both, op.constant([1]), keep_dims=True), op.constant([1]))
    y = op.add(_named(op.matmul(mean, _random(4, 32), False, True), "head"), _random(1, 4))
    return held(
        openvino.Model([y], [x]),
        {"x": ("float32", "batch", steps, 6)},
        {"y": ("float32", "batch", 4)},
    )


def feeds(model: Model, count: int, seed: int = 0) -> Arrays:
    """Random inputs ``(count, ...)`` for any of the models."""
    rng = np.random.default_rng(seed)
    made = {}
    for tensor in model.spec.inputs:
        shape = (count, *tensor.shape[1:])
        if tensor.dtype == "float32":
            made[tensor.name] = rng.standard_normal(shape, dtype=np.float32)
        else:
            made[tensor.name] = rng.integers(0, 50, shape).astype(tensor.dtype)
    return made


def decibel(expected: np.ndarray, found: np.ndarray) -> float:
    """SQNR."""
    wanted = expected.astype(np.float64)
    return float(10 * np.log10(np.sum(wanted**2) / max(np.sum((wanted - found) ** 2), 1e-30)))
