"""LSTM, GRU and RNN of exported PyTorch graphs as OpenVINO sequences.

**Source:** PyTorch 2.13, ``aten::lstm.input`` and its like for GRU and RNN; OpenVINO operations
``LSTMSequence-5``, ``GRUSequence-5``, ``RNNSequence-5``. The gates of PyTorch are (input, forget,
cell, output) and (reset, update, new), those of OpenVINO (forget, input, cell, output) and
(update, reset, new).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hasten.errors import BrokenContract, Unsupported

_GATES: Mapping[str, tuple[int, ...]] = {
    "lstm": (1, 0, 2, 3),
    "gru": (1, 0, 2),
    "rnn_tanh": (0,),
    "rnn_relu": (0,),
}


def whole_operators(graph: Any) -> set[Any]:
    """The recurrent operators of an exported graph that OpenVINO has whole; it has no LSTM with
    a projection, which falls apart into time steps."""
    cells: dict[Any, list[bool]] = {}
    for node in graph.nodes:
        if _kind(node):
            cells.setdefault(node.target, []).append(_plain(node))
    return {target for target, plain in cells.items() if all(plain)}


def _kind(node: Any) -> str:
    """The key of ``_GATES`` for a recurrent call, else nothing."""
    _, _, operator = str(node.target).partition("aten.")
    name, _, overload = operator.partition(".")
    return name if name in _GATES and overload == "input" else ""


def _plain(node: Any) -> bool:
    """Whether each layer and direction has two weights and, where there are biases, two of them."""
    _, _, weights, biased, layers, _, _, bidirectional, _ = node.args
    return bool(len(weights) == layers * (2 if bidirectional else 1) * (4 if biased else 2))


@dataclass(frozen=True)
class _Part:
    """The target of a graph node that stands for one result of a recurrent call."""

    name: str

    def __str__(self) -> str:
        return self.name

    def __call__(self, *tensors: Any) -> Any:
        raise BrokenContract(f"'{self.name}' only marks a place in a graph; it is never run.")


def keep_recurrent(graph: Any) -> list[Any]:
    """Mark the recurrent calls of an exported graph, in place; front-end extensions for them.

    The front end takes one output per node, so every result of a call becomes a node of its own.
    """
    from openvino.frontend.pytorch import ConversionExtension

    extensions = []
    for node in [node for node in graph.graph.nodes if _kind(node)]:
        cell = _Cell(node.name, _kind(node), *node.args[3:])
        for user in list(node.users):
            part = user.args[1]
            target = _Part(f"{node.name}.{part}")
            with graph.graph.inserting_before(user):
                place = graph.graph.create_node("call_function", target, node.args, name=user.name)
            user.replace_all_uses_with(place)
            graph.graph.erase_node(user)
            extensions.append(ConversionExtension(target.name, partial(cell.result, part)))
        graph.graph.erase_node(node)
    return extensions


class _Cell:
    """One recurrent call of any depth and direction, built when its first result is asked for."""

    def __init__(
        self, name: str, kind: str, biased: bool, layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool,
    ) -> None:  # fmt: skip
        self.name, self.kind, self.biased, self.layers = name, kind, biased, layers
        self.directions = 2 if bidirectional else 1
        self.batch_first = batch_first
        self.made: list[Any] = []

    def result(self, part: int, context: Any) -> list[Any]:
        """Output ``part`` of the call: the sequence, the last hidden state, the last cell state."""
        if not self.made:
            x, *states = context.get_input(0), *_listed(context.get_input(1))
            self.made = self._build(x, states, _listed(context.get_input(2)))
        return [self.made[part]]

    def _build(self, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
        from openvino import opset13 as op

        each = 4 if self.biased else 2
        arrays = [_array(weight, self.name) for weight in weights]
        x = x if self.batch_first else op.transpose(x, [1, 0, 2]).output(0)
        last: list[list[Any]] = [[] for _ in states]
        for layer in range(self.layers):
            rows = range(layer * self.directions, (layer + 1) * self.directions)
            begin = [_rows(state, rows) for state in states]
            packed = self._packed([arrays[row * each : (row + 1) * each] for row in rows])
            node = self._sequence(x, begin, packed)
            node.friendly_name = f"{self.name}/layer{layer}"
            x = self._joined(node.output(0))
            for kept, port in zip(last, node.outputs()[1:], strict=True):
                kept.append(op.transpose(port, [1, 0, 2]).output(0))
        y = x if self.batch_first else op.transpose(x, [1, 0, 2]).output(0)
        return [y, *(op.concat(kept, 0).output(0) for kept in last)]

    def _packed(self, directions: list[list[np.ndarray]]) -> list[np.ndarray]:
        """Weights, recurrent weights and biases in OpenVINO's order, directions stacked."""
        order = _GATES[self.kind]
        turned = [[_gates(array, order) for array in arrays] for arrays in directions]
        for arrays in turned:
            if not self.biased:
                arrays += [np.zeros(len(arrays[0]), arrays[0].dtype)] * 2
            ours, theirs = arrays[2:]
            arrays[2:] = [ours + theirs]
            if self.kind == "gru":  # the new gate keeps its two biases apart
                size = len(ours) // 3
                sums = (ours + theirs)[: 2 * size]
                arrays[2] = np.concatenate([sums, ours[2 * size :], theirs[2 * size :]])
        return [np.stack(arrays) for arrays in zip(*turned, strict=True)]

    def _sequence(self, x: Any, begin: list[Any], packed: list[np.ndarray]) -> Any:
        from openvino import opset13 as op

        shape = op.shape_of(x)
        steps = op.gather(shape, op.constant(1), op.constant(0))
        batch = op.gather(shape, op.constant([0]), op.constant(0))
        lengths = op.broadcast(steps, batch)
        size = packed[1].shape[-1]
        direction = "bidirectional" if self.directions == 2 else "forward"
        constants = [op.constant(array) for array in packed]
        common: tuple[Any, ...] = (x, *begin, lengths, *constants, size, direction)
        if self.kind == "lstm":
            return op.lstm_sequence(*common)
        if self.kind == "gru":
            return op.gru_sequence(*common, linear_before_reset=True)
        return op.rnn_sequence(*common, activations=[self.kind.removeprefix("rnn_")])

    def _joined(self, y: Any) -> Any:
        """``(batch, directions, time, size)`` as ``(batch, time, directions * size)``."""
        from openvino import opset13 as op

        if self.directions == 1:
            return op.squeeze(y, op.constant([1])).output(0)
        size = y.get_partial_shape()[3].get_length() * self.directions
        turned = op.transpose(y, [0, 2, 1, 3])
        return op.reshape(turned, op.constant([0, 0, size]), special_zero=True).output(0)


def _listed(value: Any) -> list[Any]:
    """The members of a list in the front end's graph, or the one value."""
    node = value.get_node()
    if node.get_type_name() in ("SequenceMark", "FrameworkNode"):
        return [port.get_source_output() for port in node.inputs()]
    return [value]


def _array(value: Any, name: str) -> np.ndarray:
    node = value.get_node()
    if node.get_type_name() != "Constant":
        raise Unsupported(f"Cannot convert '{name}' to OpenVINO: it computes its own weights.")
    return np.array(node.data)


def _rows(state: Any, rows: range) -> Any:
    """Initial states of one layer ``(batch, directions, size)``, out of ``(rows, batch, size)``."""
    from openvino import opset13 as op

    part = op.slice(state, *(op.constant([v]) for v in (rows.start, rows.stop, 1, 0)))
    return op.transpose(part, [1, 0, 2])


def _gates(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[index] for index in order])
