"""From ``-symbol.json`` and arrays to a module."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hasten.errors import BadModel, Unsupported
from hasten.graphs.module import GraphModule, Node, tensors
from hasten.graphs.mxnet import elementwise, layers, shapes
from hasten.graphs.mxnet.operators import OPERATORS, Call

LABELS = ("SoftmaxOutput", "Softmax", "LogisticRegressionOutput", "LinearRegressionOutput")
LABELS += ("MAERegressionOutput",)
NORMALISED = ("BatchNorm", "BatchNorm_v1")
WEIGHED = {
    "BatchNorm",
    "BatchNorm_v1",
    "Convolution",
    "Convolution_v1",
    "Deconvolution",
    "Embedding",
    "FullyConnected",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RNN",
    "_contrib_SyncBatchNorm",
}
"""Operators whose inputs but the first are weights."""
MOST_NODES = 200_000
_AGAIN = "Download it again."
__all__ = ["Network", "build", "elementwise", "layers", "shapes"]


@dataclass(frozen=True)
class Network:
    """A module, the names of its inputs, of its outputs, and of arrays that it does not use."""

    module: GraphModule
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    left: tuple[str, ...]


def build(source: str, arrays: Mapping[str, np.ndarray]) -> Network:
    """The network of a symbol file; a name without an array is an input, unless it is a label."""
    nodes, heads = _read(source)
    labels = _labels(nodes)
    names = [str(node.get("name", n)) for n, node in enumerate(nodes)]
    inputs, made, constants = [], [], {}
    values: list[list[str]] = []
    for number, node in enumerate(nodes):
        name = names[number]
        if node.get("op") == "null":
            values.append([name])
            if name in arrays:
                constants[name] = np.asarray(arrays[name])
            elif number not in labels:
                inputs.append(name)
            continue
        found = _node(number, node, name, values, labels)
        values.append(list(found.outputs))
        made.append(found)
    hidden = {name for node in made for name in node.inputs} - {
        one for row in values for one in row
    }
    constants |= {name: np.asarray(arrays[name]) for name in hidden if name in arrays}
    _refuse_missing(made, inputs, constants)
    wanted = [_at(values, head) for head in heads]
    module = GraphModule(made, constants, inputs, wanted)
    told = tuple(names[head[0]] for head in heads)
    return Network(module, tuple(inputs), told, tuple(sorted({*arrays} - {*constants})))


def _read(source: str) -> tuple[list[dict[str, Any]], list[Any]]:
    try:
        graph = json.loads(source)
        nodes, heads = graph["nodes"], graph["heads"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadModel(
            f"Cannot read the network: it is no -symbol.json file of MXNet. {_AGAIN}"
        ) from error
    if not isinstance(nodes, list) or not isinstance(heads, list) or not nodes or not heads:
        raise BadModel(f"Cannot read the network: it has no nodes or no outputs. {_AGAIN}")
    if len(nodes) > MOST_NODES or not all(isinstance(node, dict) for node in nodes):
        raise BadModel(f"Cannot read the network: its nodes are damaged. {_AGAIN}")
    strange = sorted({str(node.get("op")) for node in nodes} - {*OPERATORS, "null"})
    if strange:
        raise Unsupported(
            f"Cannot build the network: MXNet's operators {', '.join(strange)} are not supported."
        )
    return nodes, heads


def _labels(nodes: list[dict[str, Any]]) -> set[int]:
    """Inputs that only training needs: what stands second at an output layer."""
    found = set()
    for node in nodes:
        taken = node.get("inputs")
        if node.get("op") in LABELS and isinstance(taken, list) and len(taken) > 1:
            second = taken[1]
            if isinstance(second, list) and second and isinstance(second[0], int):
                found.add(second[0])
    return {n for n in found if 0 <= n < len(nodes)}


def _node(
    number: int, node: dict[str, Any], name: str, values: list[list[str]], labels: set[int]
) -> Node:
    attributes = node.get("attrs", node.get("param", node.get("attr", {}))) or {}
    if not isinstance(attributes, dict):
        raise BadModel(f"Cannot read the network: node '{name}' is damaged. {_AGAIN}")
    call = Call(name, node["op"], {str(k): str(v) for k, v in attributes.items()})
    taken = node.get("inputs", [])
    if not isinstance(taken, list):
        raise BadModel(f"Cannot read the network: node '{name}' is damaged. {_AGAIN}")
    if call.kind in LABELS:
        taken = taken[:1]
    inputs = tuple(_at(values, one) for one in taken)
    if call.kind in NORMALISED and len(inputs) == 3:  # before MXNet 0.9 these were not listed
        inputs += (f"{name}_moving_mean", f"{name}_moving_var")
    outputs = tuple(f"{name}#{number}.{n}" for n in range(_count(call)))
    places = frozenset(range(1, len(inputs)))
    return Node(name, call.kind, inputs, outputs, functools.partial(_run, call), weights=places)


def _run(call: Call, *values: Any) -> Any:
    return OPERATORS[call.kind](call, *tensors(values))


def _count(call: Call) -> int:
    """How many outputs a node may have."""
    if call.kind in ("SliceChannel", "split"):
        return call.count("num_outputs")
    return 3 if call.kind in ("RNN", "topk", "BatchNorm", "LayerNorm") else 1


def _at(values: list[list[str]], place: Any) -> str:
    """The name of an output of a node that came before."""
    if not (isinstance(place, list) and len(place) >= 2 and all(isinstance(n, int) for n in place)):
        raise BadModel(f"Cannot read the network: an edge is damaged. {_AGAIN}")
    node, output = place[0], place[1]
    if not 0 <= node < len(values) or not 0 <= output < len(values[node]):
        raise BadModel(
            f"Cannot read the network: a node takes from node {node}, which does not come before "
            f"it. {_AGAIN}"
        )
    return values[node][output]


def _refuse_missing(
    nodes: list[Node], inputs: list[str], constants: Mapping[str, np.ndarray]
) -> None:
    """A weight without an array looks like an input: it is one unless it only stands where weights
    do."""
    data = {
        name
        for node in nodes
        for place, name in enumerate(node.inputs)
        if place == 0 or node.kind not in WEIGHED or (node.kind == "RNN" and place > 1)
    }
    lacking = [name for name in inputs if name not in data]
    made = {name for node in nodes for name in node.outputs}
    used = {name for node in nodes for name in node.inputs}
    lacking += sorted(used - made - {*inputs, *constants})
    if lacking:
        raise BadModel(
            f"Cannot build the network: the weights {', '.join(lacking[:5])} are missing. Give the "
            ".params file that belongs to this -symbol.json."
        )
